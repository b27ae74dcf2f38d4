"""Intervals of small groups: coverage by simulation, zeros that keep a width, and groups too small to be judged."""

from __future__ import annotations

import numpy as np
import pytest

import tamis
from tamis.audit import Labels, Outputs, Policy, Rule

STRICT = Policy(
    (Rule("cie_share", max=0.05), Rule("accuracy_drop", max=0.02), Rule("uncertainty_rise", max=0.05)), strict=True
)


def audited(answers, right, member, **more):
    """A dense model that is always right and a compressed one that gives ``answers``, with hard logits."""
    n = len(right)
    labels = Labels(np.stack([right, member], axis=1), np.arange(n), ("T", "G"))
    sides = (np.where(side, 3.0, -3.0)[:, None] for side in (right, answers))
    dense, compressed = (Outputs(side, labels.ids, ("T",)) for side in sides)
    dense = Outputs(dense.logits, labels.ids, ("T",), method="dense")
    compressed = Outputs(compressed.logits, labels.ids, ("T",), method="gmp", level=0.9)
    given = {"dense": [dense], "compressed": [compressed], "labels": labels, "train_labels": labels, "groups": ("G",)}
    return tamis.audit(**given, attributes=("T",), n_boot=100, **more)


def psi_of(report, group):
    return next(
        row["psi"] for row in report.content["group_values"] if row["condition"] != "dense" and row["group"] == group
    )


def world_of(size, n, seed, rate):
    """``size`` of ``n`` rows are in the group, and all rows alike lose an answer with probability ``rate``."""
    rng = np.random.default_rng([size, n, seed])
    right, member = rng.random(n) < 0.5, np.arange(n) < size
    return right ^ (rng.random(n) < rate), right, member


@pytest.mark.parametrize(("size", "rate"), [(30, 0.05), (100, 0.05)])
def test_the_interval_of_psi_of_a_small_group_covers_zero_as_often_as_it_says(size, rate):
    runs = 120
    reports = [audited(*world_of(size, 300, seed, rate)) for seed in range(runs)]
    covered = failed = 0
    for report in reports:
        interval = psi_of(report, 1)["interval"]
        covered += interval["lo"] <= 0 <= interval["hi"]
        failed += report.check(Policy((Rule("psi", max=0.03),))).exit_code
    assert covered / runs >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / runs)
    assert failed / runs <= 0.025


def test_a_group_below_min_cell_has_no_psi_and_is_listed():
    answers, right, member = world_of(29, 400, 0, 0.1)
    report = audited(answers, right, member)
    assert psi_of(report, 1) == {"mean": None, "reason": "small_cell", "seeds": [], "interval": None}
    assert psi_of(report, 0)["mean"] is not None
    listed = [row for row in report.content["undefined"] if row["metric"] == "psi"]
    assert [(row["attribute"], row["identity"], row["reason"]) for row in listed] == [("T", "G", "small_cell")]
    assert psi_of(audited(answers, right, member, min_cell=29), 1)["mean"] is not None
    both = audited(*world_of(20, 45, 0, 0.1))
    assert both.check(Policy((Rule("psi", max=0.03),))).exit_code == 2


def test_a_few_rows_without_a_flip_are_not_certain():
    _, right, member = world_of(6, 12, 0, 0.0)
    gate = audited(right, right, member).check(STRICT)
    assert gate.exit_code == 1
    assert all(row["value"] == 0 and row["hi"] > row["limit"] for row in gate.rows)
    assert all(row["lo"] == 0 for row in gate.rows if row["metric"] == "cie_share")
    _, right, member = world_of(200, 400, 0, 0.0)
    assert audited(right, right, member).check(STRICT).exit_code == 0


def test_the_only_row_of_a_group_fails_no_policy():
    answers, right, member = world_of(1, 400, 0, 0.01)
    answers[0] = not right[0]
    assert audited(answers, right, member).check(Policy((Rule("psi", max=0.03),))).exit_code == 0
