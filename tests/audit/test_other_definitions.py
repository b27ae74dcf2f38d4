"""Other definitions of bias in the report: against the functions over rows, resampled rows, SciPy, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind
from sklearn.metrics import recall_score
from tests.audit.identity_world import LEVEL, NAMES, of_level, pairs_of

import tamis
from tamis.audit import (
    Labels,
    Outputs,
    TrainCounts,
    biasamp_directional,
    cev_sde,
    zhao2017_mean_ba,
)
from tamis.audit._directional import train_sign


def test_directional_amplification_of_a_pair_is_the_papers_over_rows(people, people_content):
    y, train = people["labels"].values.astype(int), people["train_labels"].values.astype(int)
    checked = 0
    for pair in pairs_of(people_content):
        k, g = NAMES.index(pair["attribute"]), NAMES.index(pair["identity"])
        both = np.stack([y[:, g], 1 - y[:, g]], axis=1)
        of_train = (train[:, [k]], np.stack([train[:, g], 1 - train[:, g]], axis=1))
        for side, models in (("dense", people["dense"]), ("compressed", of_level(people, 0.98))):
            found = []
            for model in models:
                said = (model.logits > 0).astype(int)
                predicted = np.stack([said[:, g], 1 - said[:, g]], axis=1)
                found.append(biasamp_directional(y[:, [k]], said[:, [k]], both, predicted, train=of_train))
            assert pair["a_to_t"][side]["mean"] == pytest.approx(np.mean([f.a_to_t.value for f in found]))
            assert pair["t_to_a"][side]["mean"] == pytest.approx(np.mean([f.t_to_a.value for f in found]))
            checked += 1
    assert checked == 2 * (3 * 2 + 2)  # five attributes by two identities without the identities themselves


def test_the_interval_of_a_directional_change_is_that_of_resampled_rows(people, people_content):
    condition, y = LEVEL, people["labels"].values.astype(bool)
    train = people["train_labels"].values
    rng, draws = np.random.default_rng(1), {}
    pairs = pairs_of(people_content)
    counts = {
        (p["attribute"], p["identity"]): TrainCounts.of(
            train[:, NAMES.index(p["identity"])], train[:, NAMES.index(p["attribute"])]
        )
        for p in pairs
    }
    sides = [np.mean([m.logits > 0 for m in models], axis=0) for models in (people["dense"], of_level(people, 0.98))]
    moved = sides[1] - sides[0]
    for _ in range(400):
        rows = rng.integers(0, 500, 500)
        for (attribute, identity), train_counts in counts.items():
            k, member = NAMES.index(attribute), y[rows, NAMES.index(identity)]
            change = (moved[rows, k][member].mean() - moved[rows, k][~member].mean()) / 2
            draws.setdefault((attribute, identity), []).append(train_sign(train_counts) * change)
    for pair in pairs:
        rows = next(i for i in [pair["a_to_t"]["change"]["interval"]] if i)
        if rows["kind"] == "rows":
            half = (rows["hi"] - rows["lo"]) / 2
            assert half == pytest.approx(1.96 * np.std(draws[pair["attribute"], pair["identity"]]), rel=0.2)
    assert {p["a_to_t"]["change"]["interval"]["kind"] for p in pairs} & {"rows"}
    mean = people_content["means"][condition]["a_to_t_change"]
    assert mean["mean"] == pytest.approx(np.mean([p["a_to_t"]["change"]["mean"] for p in pairs]))
    rows = tamis.audit(**(people | {"dense": people["dense"][:1], "compressed": of_level(people, 0.98)[:1]})).content
    interval = rows["means"][condition]["a_to_t_change"]["interval"]
    assert interval["kind"] == "rows"
    one = (of_level(people, 0.98)[0].logits > 0).astype(float) - (people["dense"][0].logits > 0)
    spread = []
    for _ in range(400):
        rows = rng.integers(0, 500, 500)
        values = []
        for (attribute, identity), train_counts in counts.items():
            k, member = NAMES.index(attribute), y[rows, NAMES.index(identity)]
            values.append(train_sign(train_counts) * (one[rows, k][member].mean() - one[rows, k][~member].mean()) / 2)
        spread.append(np.mean(values))
    assert (interval["hi"] - interval["lo"]) / 2 == pytest.approx(1.96 * np.std(spread), rel=0.2)


def test_amplification_by_predicted_groups_is_zhaos_over_rows(people, people_content):
    y = people["labels"].values.astype(int)
    for row in people_content["identity_values"]:
        models = (
            people["dense"]
            if row["condition"] == "dense"
            else of_level(people, float(row["condition"][-4:].strip("=")))
        )
        g = NAMES.index(row["identity"])
        others = [k for k in range(5) if k != g]
        found = []
        for model in models:
            said = (model.logits > 0).astype(int)
            found.append(zhao2017_mean_ba(y[:, others], said[:, others], y[:, g], said[:, g]).value)
        assert row["zhao_ba"]["mean"] == pytest.approx(np.mean(found))
        if row["condition"] == "dense":
            assert row["zhao_change"] is None
        else:
            assert row["zhao_change"]["interval"]["kind"] == "seeds"
    curve = next(c for c in people_content["curves"] if c["metric"] == "zhao_ba")
    assert curve["over"] == "identities"
    assert [p["condition"] for p in curve["points"]] == ["dense", "gmp@sparsity=0.9", LEVEL]
    own = [r["zhao_ba"]["mean"] for r in people_content["identity_values"] if r["condition"] == LEVEL]
    assert curve["points"][-1]["mean"] == pytest.approx(np.mean(own))


def rates(y, said, inside):
    return ((said & ~y)[inside].sum() / (~y)[inside].sum(), (~said & y)[inside].sum() / y[inside].sum())


def test_cev_and_sde_are_blakeneys_over_the_groups_of_a_pair_and_over_attributes(people, people_content):
    y = people["labels"].values.astype(bool)
    everyone = np.ones(len(y), bool)
    for pair in pairs_of(people_content):
        k, g = NAMES.index(pair["attribute"]), NAMES.index(pair["identity"])
        found = []
        for dense, model in zip(people["dense"], of_level(people, 0.98), strict=True):
            points = [
                [rates(y[:, k], m.logits[:, k] > 0, y[:, g] == group) for group in (0, 1)] for m in (dense, model)
            ]
            found.append(cev_sde(*np.array(points[0]).T, *np.array(points[1]).T))
        if any(not value.defined for row in found for value in row):
            assert pair["cev"]["reason"] == pair["sde"]["reason"] == "zero_base_rate"
            continue
        assert pair["cev"]["mean"] == pytest.approx(np.mean([cev.value for cev, _ in found]))
        assert pair["sde"]["mean"] == pytest.approx(np.mean([sde.value for _, sde in found]))
        assert pair["cev"]["interval"]["kind"] == "seeds"
    found = []
    for dense, model in zip(people["dense"], of_level(people, 0.98), strict=True):
        points = [[rates(y[:, k], m.logits[:, k] > 0, everyone) for k in range(5)] for m in (dense, model)]
        found.append(cev_sde(*np.array(points[0]).T, *np.array(points[1]).T))
    means = people_content["means"][LEVEL]
    assert means["cev"]["mean"] == pytest.approx(np.mean([cev.value for cev, _ in found]))
    assert means["sde"]["mean"] == pytest.approx(np.mean([sde.value for _, sde in found]))


def test_change_of_recall_beside_accuracy_has_welchs_t_and_an_interval_over_rows(people, people_content):
    y = people["labels"].values.astype(bool)
    rng = np.random.default_rng(2)
    for row in people_content["attribute_values"]:
        if row["condition"] != LEVEL:
            continue
        k = NAMES.index(row["attribute"])
        gaps = [
            [recall_score(y[:, k], m.logits[:, k] > 0) - ((m.logits[:, k] > 0) == y[:, k]).mean() for m in side]
            for side in (people["dense"], of_level(people, 0.98))
        ]
        assert row["metrics"]["recall_gap"]["mean"] == pytest.approx(np.mean(gaps[1]))
        assert row["changes"]["recall_change"]["mean"] == pytest.approx(np.mean(gaps[1]) - np.mean(gaps[0]))
        t, p = ttest_ind(gaps[0], gaps[1], equal_var=False)
        assert row["recall_test"]["t"] == pytest.approx(t)
        assert row["recall_test"]["p"] == pytest.approx(p)
    two = tamis.audit(**(people | {"dense": people["dense"][:1], "compressed": of_level(people, 0.98)[:1]})).content
    row = next(r for r in two["attribute_values"] if r["condition"] == LEVEL)
    assert row["recall_test"] == {"t": None, "p": None, "reason": "too_few_seeds"}
    interval = row["changes"]["recall_change"]["interval"]
    said = [m.logits[:, 0] > 0 for m in (people["dense"][0], of_level(people, 0.98)[0])]
    draws = []
    for _ in range(400):
        rows = rng.integers(0, 500, 500)
        side = [recall_score(y[rows, 0], s[rows]) - (s[rows] == y[rows, 0]).mean() for s in said]
        draws.append(side[1] - side[0])
    assert (interval["hi"] - interval["lo"]) / 2 == pytest.approx(1.96 * np.std(draws), rel=0.2)


def test_the_recall_of_a_class_is_seen_beside_the_accuracy_of_the_chosen_class():
    rng = np.random.default_rng(3)
    truth, ids = rng.integers(0, 3, 300), np.arange(300)
    labels = Labels.from_classes(truth, ids, ("cat", "dog", "owl"))
    member = Labels((rng.random((300, 1)) < 0.5), ids, ("G",))

    def model(noise, level, seed):
        own = np.random.default_rng([seed, int(100 * level)])
        logits = 2 * np.eye(3)[truth] + noise * own.normal(size=(300, 3))
        method = "gmp" if level else "dense"
        return Outputs(logits, ids, ("cat", "dog", "owl"), "net", method, level, seed=seed, task="multiclass")

    people = {
        "dense": [model(0.8, 0.0, 0)],
        "compressed": [model(1.6, 0.9, 0)],
        "labels": labels,
        "train_labels": labels,
        "groups": member,
        "train_groups": member,
    }
    content = tamis.audit(**people).content
    gaps = []
    for outputs in (*people["dense"], *people["compressed"]):
        chosen = outputs.logits.argmax(axis=1)
        gaps.append((chosen[truth == 1] == 1).mean() - (chosen == truth).mean())
    row = next(r for r in content["attribute_values"] if r["attribute"] == "dog" and r["changes"])
    assert row["changes"]["recall_change"]["mean"] == pytest.approx(gaps[1] - gaps[0])
    low, high = (row["changes"]["recall_change"]["interval"][end] for end in ("lo", "hi"))
    draws = []
    for _ in range(400):
        rows = rng.integers(0, 300, 300)
        both = []
        for outputs in (*people["dense"], *people["compressed"]):
            chosen, true = outputs.logits[rows].argmax(axis=1), truth[rows]
            both.append((chosen[true == 1] == 1).mean() - (chosen == true).mean())
        draws.append(both[1] - both[0])
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(draws), rel=0.2)
