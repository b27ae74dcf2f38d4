"""What a run cost: by masks, by exact zeros, and by the clock."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from method_runs import OPTIMIZERS, mlp, train

from tamis.methods import ACDC, GMP, OneShot
from tamis.methods._ledger import Stretch, ledger_rows
from tamis.methods._step_times import StepTimes, time_row
from tamis.sparsity import acdc_cost, dense_gradient_cost, rigl_cost, topkast_cost

EXAMPLE = torch.zeros(2, 12)
DENSE = 12 * 24 + 24 * 16 + 16 * 4  # MACs of the small network, which are its weights


def run(make, steps=40, model=None):
    model = mlp() if model is None else model
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = make.attach(model, optimizer)
    train(model, optimizer, range(steps))
    return sparsifier


def by_count(sparsifier):
    return {(row["row"], row["count"]): row for row in sparsifier.ledger(EXAMPLE)}


class DenseGradients(OneShot):
    method = "dense gradients"
    cost_rule: ClassVar[str] = "2 f(live) + f_D"

    def _training_cost(self, stretch):
        return dense_gradient_cost(stretch.forward)


class UpdatesEveryTen(OneShot):
    method = "updates every ten"

    def _training_cost(self, stretch):
        return rigl_cost(stretch.forward, 10)


class LargerBackwardSet(OneShot):
    method = "larger backward set"

    def _trained_counts(self):
        return {name: 2 * row["live"] for name, row in self.events[-1]["layers"].items()}

    def _training_cost(self, stretch):
        return topkast_cost(stretch.forward, stretch.trained)


def test_static_masks_cost_three_sparse_passes():
    rows = by_count(run(OneShot(0.75)))
    assert rows["training", "mask"]["fraction"] == rows["forward", "mask"]["fraction"] == 0.25
    assert rows["training", "mask"]["flops"] == 3 * 2 * DENSE // 4
    assert rows["training", "mask"]["dense_flops"] == 3 * 2 * DENSE
    assert rows["training", "mask"]["rule"] == "3 f(live)"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (DenseGradients, (2 * 0.25 + 1) / 3),
        (UpdatesEveryTen, (3 * 0.25 * 10 + 2 * 0.25 + 1) / 11 / 3),
        (LargerBackwardSet, (2 * 0.25 + 0.5) / 3),
    ],
)
def test_a_method_with_a_rule_of_its_own_is_charged_by_it(method, expected):
    rows = by_count(run(method(0.75)))
    assert rows["forward", "mask"]["fraction"] == 0.25
    assert rows["training", "mask"]["fraction"] == pytest.approx(expected, rel=1e-12)
    assert rows["training", "mask"]["rule"] == method.cost_rule


def test_every_rule_of_the_golden_table_gives_its_fraction(pruning_vectors):
    golden = pruning_vectors["train_flops_fraction"]
    model = torch.nn.Sequential(torch.nn.Linear(1000, 1000, bias=False))
    methods = {"static_or_SET": OneShot, "SNFS": DenseGradients, "DPF_STE": DenseGradients}
    for vector in golden["rows"]:
        live = {"0": round(1e6 * vector["f_S"])}
        history = [{"start": 0, "end": 100, "phase": "sparse", "live": live, "nonzero": live}]
        for key, method in methods.items():
            rows = ledger_rows(model, torch.zeros(1, 1000), history, live, cost=method(0.5)._training_cost)
            assert rows[1]["fraction"] == pytest.approx(vector[key], abs=1e-6)
        cost = lambda stretch: rigl_cost(stretch.forward, 100)  # noqa: E731
        rows = ledger_rows(model, torch.zeros(1, 1000), history, live, cost=cost)
        assert rows[1]["fraction"] == pytest.approx(vector["RigL_dT100_all_steps"], abs=1e-6)
    for vector in golden["topkast"]:
        counts = {"live": {"0": round(1e6 * vector["f_A"])}, "trained": {"0": round(1e6 * vector["f_B"])}}
        history = [{"start": 0, "end": 9, "phase": "sparse", **counts, "nonzero": counts["live"]}]
        cost = LargerBackwardSet(0.5)._training_cost
        rows = ledger_rows(model, torch.zeros(1, 1000), history, counts["live"], cost=cost)
        assert rows[1]["fraction"] == pytest.approx(vector["train"], rel=1e-9)


def test_acdc_is_charged_by_its_phases_and_less_where_weights_stay_zero():
    sparsifier = run(ACDC(0.75, 40))
    rows = by_count(sparsifier)
    assert rows["training", "mask"]["fraction"] == pytest.approx(acdc_cost(sparsifier.phases, 0.25), rel=1e-12)
    table = sparsifier.report()["phases"]
    weighted = sum((row["end"] - row["start"]) * row["nonzero"] for row in table)
    assert rows["training", "nonzero"]["fraction"] == pytest.approx(weighted / (40 * DENSE), rel=1e-12)


def test_every_row_states_its_denominator_and_its_rule():
    for sparsifier in (run(ACDC(0.75, 40)), run(OneShot(0.75))):
        rows = sparsifier.ledger(EXAMPLE)
        assert [row["count"] for row in rows] == ["mask", "mask", "nonzero", "cpu time", "wall time"]
        assert all(row["denominator"] and row["rule"] for row in rows)
        assert len({tuple(row) for row in rows}) == 1  # the same columns everywhere


def test_time_without_a_dense_phase_has_seconds_and_no_fraction():
    static, mixed = by_count(run(OneShot(0.75))), by_count(run(GMP(0.75, 40)))
    for count in ("cpu time", "wall time"):
        assert static["training", count]["seconds"] > 0
        assert static["training", count]["fraction"] is None
        assert mixed["training", count]["fraction"] > 0


def test_measured_time_is_counted_on_a_clock_that_the_test_moves(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tamis.methods._step_times._now", lambda: (clock[0], 10 * clock[0]))
    times = StepTimes()

    def step(seconds, change=0.0, callback=0.0):
        clock[0] += seconds
        times.step_ended()
        with times.paused():
            clock[0] += callback
        clock[0] += change
        times.step_begins()

    for seconds in (99.0, 2.0, 2.0, 50.0, 2.0):  # the first is not timed, the fourth holds an evaluation
        step(seconds)
    times.close("dense")
    step(1.0)
    step(1.0, change=0.5, callback=77.0)
    assert times.rows("sparse") == [
        {"phase": "dense", "steps": 5, "cpu_s": 2.0, "wall_s": 20.0, "change_cpu_s": 0.0, "change_wall_s": 0.0},
        {"phase": "sparse", "steps": 2, "cpu_s": 1.0, "wall_s": 10.0, "change_cpu_s": 0.5, "change_wall_s": 5.0},
    ]
    row = time_row(times.rows("sparse"), "cpu")
    assert row["seconds"] == 5 * 2.0 + 2 * 1.0 + 0.5
    assert row["fraction"] == row["seconds"] / (7 * 2.0)
    assert time_row(times.rows("sparse"), "wall")["seconds"] == 125.0

    resumed = StepTimes()
    resumed.load(times.rows("sparse"))
    clock[0] += 1000.0
    resumed.step_ended()
    resumed.step_begins()
    rows = resumed.rows("sparse")
    assert (rows[-1]["steps"], rows[-1]["cpu_s"]) == (1, None)
    assert time_row(rows, "cpu")["seconds"] == 5 * 2.0 + 3 * 1.0 + 0.5  # the untimed step took the sparse median
    assert time_row([], "cpu") is None
    assert time_row(rows[-1:], "cpu") is None


def test_the_rule_sees_where_in_the_run_a_stretch_lies():
    seen = []

    class Looks(GMP):
        method = "looks"

        def _training_cost(self, stretch):
            seen.append((stretch.start, stretch.end))
            return 1.0

    rows = by_count(run(Looks(0.75, 40, events=4), steps=36))
    assert seen[:5] == [(0, 8), (8, 16), (16, 24), (24, 32), (32, 36)]
    assert rows["training", "mask"]["fraction"] == 1.0
    assert Stretch(0, 1, 0.5, 0.5, {}).trained == 0.5
