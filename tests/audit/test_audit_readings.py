"""Other readings of a report: the queue, rows for tables, predictions, other kinds of models, the committed example."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from tests.audit.worlds import world

import tamis
from tamis.audit import Labels, Outputs, predict
from tamis.errors import UsageError


def test_the_queue_has_changed_predictions_before_doubtful_ones(report):
    rows = list(csv.DictReader(io.StringIO(report.review_queue(condition="gmp@sparsity=0.98"))))
    why = [row["why"] for row in rows]
    total = report.content["exemplars"][1]["rows_total"]
    assert why == ["changed"] * total + ["uncertain"] * (len(rows) - total)
    risks = [float(row["risk"]) for row in rows]
    assert risks == sorted(risks, reverse=True)
    assert len(report.samples(limit=7)) == 7
    with pytest.raises(UsageError, match=r"no condition 'x'; there are gmp@sparsity=0.9"):
        report.samples("x")


def test_a_frame_of_an_unknown_model_is_refused(report):
    with pytest.raises(UsageError, match="no attribute 'x'"):
        report.to_metric_frame("x")
    with pytest.raises(UsageError, match="no seed 9; there are 0, 1, 2"):
        report.to_metric_frame("Hat", seed=9)


def test_rows_for_tables_are_the_pairs_without_their_nesting(report):
    rows = report.pairs()
    assert len(rows) == len(report.content["pairs"])
    assert {"condition", "attribute", "identity", "dense", "compressed", "change", "lo", "hi", "p", "q"} <= rows[
        0
    ].keys()
    assert report.criteria() is report.content["criteria"]
    assert report.countermeasures() is report.content["countermeasures"]


def test_prediction_from_dense_models_ranks_as_the_audit_does(given, report):
    keys = ("labels", "train_labels", "groups", "attributes")
    found = predict(dense=given["dense"], **{key: given[key] for key in keys})
    ours = [(r["attribute"], r["identity"], r["score"]) for r in found.content["attributes"]]
    theirs = [(r["attribute"], r["identity"], r["score"]) for r in report.content["criteria"]["attributes"]]
    assert ours == [row for row in theirs if "=" not in row[1]]
    risks = [row["risk"] for row in found.samples(50)]
    assert risks == sorted(risks, reverse=True)
    assert found.review_queue(limit=2).count("\n") == 3
    with pytest.raises(UsageError, match="at least one Outputs"):
        predict(dense=[], **{key: given[key] for key in keys})


def test_classes_of_one_softmax_are_audited_one_against_the_rest():
    rng = np.random.default_rng(0)
    n = 400
    member = rng.random(n) < 0.5
    truth = np.where(rng.random(n) < 0.6, member, rng.integers(0, 3, n)).astype(int)
    ids, names = np.arange(n), ("cat", "dog", "fox")
    labels = Labels.from_classes(truth, ids, names).joined(Labels(member, ids, ("indoor",)))

    def model(noise: float, level: float, seed: int) -> Outputs:
        logits = 3 * np.eye(3)[truth] + noise * np.random.default_rng(seed).normal(size=(n, 3))
        return Outputs(
            logits, ids, names, method="gmp" if level else "dense", level=level, seed=seed, task="multiclass"
        )

    dense, compressed = [model(1, 0, s) for s in range(2)], [model(3, 0.9, s) for s in range(2)]
    report = tamis.audit(dense=dense, compressed=compressed, labels=labels, train_labels=labels, groups=["indoor"])
    content = report.content
    assert content["task"] == "multiclass"
    rows = [r for r in content["group_values"] if r["attribute"] == "" and r["condition"] == "gmp@sparsity=0.9"]
    for row in rows:
        inside = member == row["group"]
        hits = [(m.logits.argmax(axis=1) == truth) for m in (*dense, *compressed)]
        assert row["accuracy"]["mean"] == pytest.approx(np.mean([h[inside].mean() for h in hits[2:]]))
        lost = np.mean(hits[:2], axis=0) - np.mean(hits[2:], axis=0)
        assert row["psi"]["mean"] == pytest.approx(lost[inside].mean() - lost.mean())
        assert row["psi"]["interval"]["lo"] < row["psi"]["mean"] < row["psi"]["interval"]["hi"]
    gate = report.check(tamis.audit.Policy((tamis.audit.Rule("psi", max=1.0),)))
    assert len(gate.rows) == 2
    assert "NaN" not in report.to_json()
    given = {"dense": dense, "compressed": compressed, "labels": labels, "train_labels": labels}
    with pytest.raises(UsageError, match="have no thresholds"):
        tamis.audit(**given, groups=["indoor"], thresholds=dict.fromkeys(names, 0.5))


def test_quantised_models_are_ordered_by_falling_bits_beside_pruned_ones():
    given = world(n=150, seeds=1, levels=(0.5, 0.9))
    extra = [
        Outputs(np.round(m.logits), m.ids, m.names, "net", "int", bits, "bits", 0)
        for m, bits in zip(given["compressed"], (4, 8), strict=True)
    ]
    found = tamis.audit(**given | {"compressed": [*given["compressed"], *extra]})
    assert found.conditions == ["gmp@sparsity=0.5", "gmp@sparsity=0.9", "int@bits=8", "int@bits=4"]


def test_the_room_can_be_called_and_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, tamis; assert callable(tamis.audit); from tamis.audit import audit, predict, Outputs; "
        "import tamis.audit._compare; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_committed_example_has_the_form_of_a_report_made_today(report):

    example = json.loads((Path(__file__).parents[2] / "docs" / "audit_example.json").read_text())
    assert shape(example["pairs"][0]).items() <= shape(report.content["pairs"][0]).items()
    assert example.keys() == report.content.keys()


def shape(thing):
    """Keys and kinds of a tree of dicts."""
    if isinstance(thing, dict):
        return {key: str(sorted(shape(value)) if isinstance(value, dict) else "") for key, value in thing.items()}
    return {}
