"""Faults of earlier code as must-rules (docs/audit_metrics.md), each with the test that keeps it out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.audit.worlds import ATTRIBUTES, outputs_of, world

import tamis
from tamis import audit
from tamis.audit import Labels, Outputs
from tamis.audit._countermeasures import first_step
from tamis.audit._models import Run
from tamis.errors import UsageError


def small(**more):
    return tamis.audit(**world(n=300, seeds=1, levels=(0.98,)) | more)


def test_the_measured_sparsity_names_the_condition_not_the_wanted_one():
    given = world(n=200, seeds=1, levels=(0.98,))
    given["compressed"] = [replace(given["compressed"][0], level=0.9, meta={"recipe": {"sparsity": 0.98}})]
    assert tamis.audit(**given).conditions == ["gmp@sparsity=0.9"]


def test_a_pruned_dense_baseline_is_refused():
    given = world(n=200, seeds=1)
    given["dense"] = [replace(given["dense"][0], level=0.95)]
    with pytest.raises(UsageError, match="given as dense; expected sparsity 0"):
        tamis.audit(**given)


def test_recipes_that_differ_are_named():
    given = world(n=200, seeds=1, levels=(0.9,))
    given["dense"] = [replace(given["dense"][0], meta={"recipe": {"optimizer": "sgd", "weight_decay": 0.1}})]
    recipe = {"optimizer": "adam", "weight_decay": 0.1}
    given["compressed"] = [replace(given["compressed"][0], meta={"recipe": recipe})]
    notes = tamis.audit(**given).content["provenance"]["notes"]
    assert notes == ["gmp@sparsity=0.9: The recipe differs from that of the dense models in: optimizer."]


def test_calibrated_thresholds_reach_every_metric_but_uncertainty():
    given = world(n=400, seeds=1, levels=(0.98,), valid=True)
    zero, moved = tamis.audit(**given).content, tamis.audit(**given, thresholds="calibrated").content
    before, after = (
        {row["attribute"]: row for row in c["attribute_values"] if row["condition"] != "dense"} for c in (zero, moved)
    )
    for name in ATTRIBUTES:
        for metric in ("uncertainty", "very_uncertain", "auc", "ece"):
            assert after[name]["metrics"][metric] == before[name]["metrics"][metric]
        for metric in ("accuracy", "tcb", "tcb_log", "predicted_positive", "interdependence"):
            assert after[name]["metrics"][metric] != before[name]["metrics"][metric]
    assert [p["counts"] for p in zero["pairs"]] != [p["counts"] for p in moved["pairs"]]
    assert moved["exemplars"][0]["rows_total"] != zero["exemplars"][0]["rows_total"]
    assert moved["provenance"]["thresholds"]["source"] == "calibrated"
    assert len(moved["provenance"]["thresholds"]["values"]) == 2 * len(ATTRIBUTES)
    calibrated = next(r for r in zero["countermeasures"]["calibration"] if r["mode"] == "calibrated")
    ba = {curve["metric"]: curve for curve in moved["curves"]}["ba"]["points"][0]
    assert calibrated["ba"]["mean"] == ba["mean"]


def test_calibration_of_the_validation_samples_themselves_has_no_threshold_bias():
    labels = world(n=300, seeds=1)["labels"]
    model = outputs_of(labels, 3.0, 0)
    for k in range(3):
        found = audit.calibrate_threshold_report(model.logits[:, k], labels.values[:, k])
        assert not found.tied
        predicted = model.logits[:, k] > found.threshold
        assert audit.tcb_ratio(labels.values[:, k], predicted, float(labels.values[:, k].mean())).value == 1


def test_means_are_never_over_changing_sets_of_pairs():
    given = world(n=400, seeds=1, levels=(0.9, 0.98))
    gone = given["compressed"][1]
    logits = gone.logits.copy()
    logits[:, 2] = -9  # the rare attribute is never predicted any more
    content = tamis.audit(**given | {"compressed": [given["compressed"][0], replace(gone, logits=logits)]}).content
    assert {(row["attribute"], row["identity"]) for row in content["lost"]} == {("Rare", "Male"), ("Rare", "Young")}
    assert {row["reason"] for row in content["lost"]} == {"never_predicted"}
    pairs = [p for p in content["pairs"] if p["condition"] == "gmp@sparsity=0.9" and p["attribute"] != "Rare"]
    kept = [p["compressed"]["mean"] for p in pairs if not p["reason"]]
    point = next(c for c in content["curves"] if c["metric"] == "ba")["points"][1]
    assert point["mean"] == pytest.approx(np.mean(kept))
    rows = tamis.audit(**given | {"compressed": [given["compressed"][0], replace(gone, logits=logits)]}).check(
        audit.Policy((audit.Rule("ba_change", max=1.0),))
    )
    lost = [row for row in rows.rows if row["value"] is None]
    assert {row["attribute"] for row in lost} == {"Rare"}
    assert {row["state"] for row in lost} == {"warn"}


def test_confident_negatives_are_not_uncertain():
    assert audit.uncertainty(np.array([0.05])).value == 0
    assert abs((0.05 - 0.5) < 0.4)  # what the brackets of earlier code made of it


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_uncertainty_by_logits_and_by_probabilities_is_one(task):
    logits = np.random.default_rng(0).normal(0, 3, (500, 2)).astype(np.float32)
    outputs = Outputs(logits, np.arange(500), ("a", "b"), task=task)
    run = Run(outputs, outputs.logits, np.zeros(2))
    steps = first_step(run, 0)
    for step, half_width in enumerate(audit.HALF_WIDTHS):
        assert ((steps <= step) == (np.abs(run.prob(0) - 0.5) < half_width)).all()


def test_auc_takes_scores_not_hard_predictions():
    y, score = np.array([1, 0, 1, 0, 1]), np.array([3.0, 2.0, 1.0, -1.0, -2.0])
    assert audit.auc(y, score).value != audit.auc(y, (score > 0).astype(float)).value


def test_one_attribute_is_enough_and_sizes_come_from_the_data():
    content = small(attributes=["Hat"]).content
    assert content["attributes"] == ["Hat"]
    assert content["exemplars"][0]["multilabel"] is None
    ids = [f"x{i}" for i in range(60)]
    rng = np.random.default_rng(0)
    truth, member = rng.random(60) < 0.5, rng.random(60) < 0.5
    one = [
        Outputs(rng.normal(size=(60, 1)) + 2 * truth[:, None], ids, ("only",), method=method, level=level)
        for method, level in (("dense", 0.0), ("gmp", 0.5))
    ]
    labels, groups = Labels(truth, ids, ("only",)), Labels(member, ids, ("g",))
    report = tamis.audit(
        dense=one[:1], compressed=one[1:], labels=labels, train_labels=labels, groups=groups, train_groups=groups
    )
    assert [p["identity"] for p in report.content["pairs"]] == ["g"]


def test_models_from_one_dense_start_say_that_their_spread_lacks_dense_variance():
    given = world(n=200, seeds=3, levels=(0.9,))
    given["dense"] = given["dense"][:1]
    given["compressed"] = [replace(model, dense_seed=0) for model in given["compressed"]]
    condition = tamis.audit(**given).content["conditions"][1]
    assert condition["pairing"] == "start"
    assert "leaves out how dense models differ" in condition["notes"][0]


def test_seeds_that_do_not_match_are_compared_as_populations():
    given = world(n=200, seeds=2, levels=(0.9,))
    given["compressed"] = [replace(model, seed=model.seed + 10) for model in given["compressed"]]
    content = tamis.audit(**given).content
    assert content["conditions"][1]["pairing"] == "unpaired"
    pair = next(p for p in content["pairs"] if not p["reason"])
    assert pair["change"]["mean"] == pytest.approx(pair["compressed"]["mean"] - pair["dense"]["mean"])


def test_constant_predictions_and_empty_groups_have_reasons_and_never_nan():
    given = world(n=300, seeds=1, levels=(0.98,))
    labels = given["labels"]
    values = labels.values.copy()
    values[:, 4] = 1  # nobody is in group 0 of Young
    model = given["compressed"][0]
    logits = model.logits.copy()
    logits[:, 1] = -5
    report = tamis.audit(
        **given | {"labels": replace(labels, values=values), "compressed": [replace(model, logits=logits)]}
    )
    assert "NaN" not in report.to_json()
    row = next(r for r in report.content["attribute_values"] if r["attribute"] == "Hat" and r["condition"] != "dense")
    assert row["metrics"]["interdependence"]["reason"] == "constant_prediction"
    empty = [r for r in report.content["group_values"] if r["identity"] == "Young" and r["group"] == 0]
    assert {r["accuracy"]["reason"] for r in empty} == {"empty_group"}
    assert {r["psi"]["reason"] for r in empty if r["psi"]} == {"empty_group"}


def test_a_group_rate_of_nothing_over_nothing_is_undefined():
    table = np.zeros((2, 2, 2), int)
    table[1, 0, 0] = 5  # no positives in group 1
    report = audit.group_report(table)
    assert report.rates["fnr"][1].reason == "zero_base_rate"
    assert report.rates["accuracy"][0].reason == "empty_group"
    assert report.differences["accuracy"].reason == "empty_group"
