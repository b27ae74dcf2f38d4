"""What is computed on the way to the page: phases, the axis, layers near collapse, the ledger, the headline."""

from __future__ import annotations

import math

import pytest
from run_folders import STEPS_PER_EPOCH, all_rows, epoch_row, mask_row, write_run

from tamis.report import read_run
from tamis.report._headline import cards_of
from tamis.report._layers import layers_of
from tamis.report._ledger import ledger_of, measured_fraction
from tamis.report._phases import axis_of, phases_of
from tamis.report._sections import MOST_EVENTS, events_table
from tamis.report._tables import free_table


def run_of(folder, rows, **options):
    return read_run(write_run(folder, rows=rows, **options))


def test_phases_follow_the_mask_events_to_the_step(tmp_path):
    rows = [epoch_row(epoch) for epoch in range(1, 5)]
    run = run_of(tmp_path, [*rows, mask_row(30, "compress", None), mask_row(50, "decompress", None)])
    spans = phases_of(run)
    assert [(span.kind, span.start, span.end) for span in spans] == [
        ("dense", 0, 30),
        ("sparse", 30, 50),
        ("dense", 50, 88),
    ]
    assert [[row.epoch for row in span.epochs] for span in spans] == [[1], [2], [3, 4]]


def test_without_events_phases_follow_the_epochs(tmp_path):
    rows = [{**epoch_row(number), "phase": phase} for number, phase in enumerate(("dense", "sparse", "sparse"), 1)]
    assert [(span.kind, span.start, span.end) for span in phases_of(run_of(tmp_path, rows))] == [
        ("dense", 0, 22),
        ("sparse", 22, 66),
    ]


def test_repeated_prunings_are_one_sparse_phase(tmp_path):
    run = run_of(tmp_path, all_rows("gmp"))
    assert [(span.kind, span.start, span.end) for span in phases_of(run)] == [("dense", 0, 88), ("sparse", 88, 880)]


def test_a_run_that_is_sparse_from_its_first_step_has_no_dense_phase(tmp_path):
    run = run_of(tmp_path, [mask_row(0, "prune", None), epoch_row(1)])
    assert [span.kind for span in phases_of(run)] == ["sparse"]


@pytest.mark.parametrize("first", [0, 1])
def test_the_axis_counts_epochs_done_whether_numbered_from_0_or_1(tmp_path, first):
    rows = [{**epoch_row(number), "epoch": number - 1 + first} for number in (1, 2, 3)]
    axis = axis_of(run_of(tmp_path, rows))
    assert [axis.position(step) for step in (0, 11, 22, 66, 88)] == [0.0, 0.5, 1.0, 3.0, 4.0]
    assert axis.label == "epoch"


def test_without_epochs_the_axis_counts_steps(tmp_path):
    axis = axis_of(run_of(tmp_path, [mask_row(30, "prune", None)]))
    assert (axis.label, axis.position(30)) == ("optimizer step", 30.0)


def test_a_layer_below_a_tenth_of_its_share_is_near_collapse_and_an_empty_one_collapsed(tmp_path):
    # 100 of 1000 weights live: the uniform share of 500 weights is 50, a tenth of it 5
    layers = [("a", 500, 96), ("b", 480, 4), ("c", 20, 0)]
    summary = {"layers": [{"name": name, "total": total, "live": live} for name, total, live in layers]}
    found = layers_of(run_of(tmp_path, [], summary=summary))
    assert found.sparsity == pytest.approx(0.9, abs=1e-15)
    assert [row.warning for row in found.rows] == [
        "",
        "near collapse, it keeps 8 % of its uniform share",
        "collapsed, it has no live weight",
    ]
    assert [row.name for row in found.sparsest] == ["c", "b", "a"]
    assert found.warnings[1] == "Layer c: collapsed, it has no live weight."


def test_layers_come_from_the_last_sparse_event_without_a_summary(tmp_path):
    rows = [mask_row(22, "compress", None, {"fc": (10, 4)}), mask_row(44, "decompress", None, {"fc": (10, 4)})]
    found = layers_of(run_of(tmp_path, rows, summary=None))
    assert [(row.name, row.live, row.total) for row in found.rows] == [("fc", 4, 10)]
    assert found.origin == "the masks made at step 22"


def test_measured_time_is_over_as_many_median_dense_epochs(tmp_path):
    times = [20.0, 40.0, 24.0, 10.0, 10.0]  # the median of the dense three is 24
    phases = ["dense", "dense", "dense", "sparse", "sparse"]
    rows = [
        {**epoch_row(number), "phase": phase, "wall_s": time}
        for number, (phase, time) in enumerate(zip(phases, times, strict=True), 1)
    ]
    spans = phases_of(run_of(tmp_path, rows))
    assert measured_fraction(spans, lambda row: row.wall_s) == (20 + 40 + 24 + 10 + 10) / (5 * 24)


def test_one_unmeasured_epoch_leaves_the_measured_fraction_open(tmp_path):
    rows = all_rows()
    rows[0] = {**rows[0], "wall_s": None}
    assert math.isnan(measured_fraction(phases_of(run_of(tmp_path, rows)), lambda row: row.wall_s))


def test_the_ledger_ends_with_measurements_and_every_row_states_its_denominator(tmp_path):
    run = run_of(tmp_path, all_rows())
    table = ledger_of(run, phases_of(run))
    assert table.headings[-1] == "Denominator"
    assert [row[:2] for row in table.rows] == [
        ("Forward", "mask-based"),
        ("Training", "mask-based"),
        ("Training", "exact nnz"),
        ("Training", "CPU time, measured"),
        ("Training", "wall-clock, measured"),
    ]
    assert all(row[-1] for row in table.rows)


def test_measured_rows_of_the_sparsifier_are_left_to_the_epochs(tmp_path):
    measured = {"row": "training", "count": "cpu time", "fraction": 0.5, "flops": None, "dense_flops": None}
    run = run_of(tmp_path, all_rows(), summary={"flops": {"rows": [measured]}})
    assert len(run.summary.ledger) == 1
    assert [row[1] for row in ledger_of(run, phases_of(run)).rows] == ["CPU time, measured", "wall-clock, measured"]


def test_a_dense_run_has_no_measured_ledger_row(tmp_path):
    run = run_of(tmp_path, all_rows("dense"), summary={"flops": {}})
    assert ledger_of(run, phases_of(run)) is None


def test_dead_units_and_effective_weights_come_from_the_last_masks(tmp_path):
    rows = [mask_row(22, "prune", None, {"fc": (10, 4)}), {**mask_row(44, "prune", 1.0, {"fc": (10, 4)})}]
    rows[1]["effective_nnz"] = 3
    found = layers_of(run_of(tmp_path, rows, summary={"layers": [{"name": "fc", "live": 4, "total": 10}]}))
    assert (found.rows[0].dead, found.effective, found.origin) == ("1, 2", 3.0, "the final model")


def test_free_tables_take_the_union_of_keys_and_leave_nested_values_out():
    table = free_table([{"layer": "a", "dense_ms": 1.5}, {"layer": "b", "use": "sparse", "more": {"x": 1}}])
    assert table.headings == ("Layer", "Dense", "Use")
    assert table.rows == (("a", "1.5\u00a0ms", "\u2013"), ("b", "\u2013", "sparse"))
    assert table.numeric == (False, True, False)
    assert free_table([]) is None


def test_warm_up_does_not_count_as_the_dense_model_of_an_unfinished_run(tmp_path):
    rows = [row for row in all_rows() if row.get("step", 9999) <= 6 * STEPS_PER_EPOCH]  # dense 1-4, sparse 5-6
    run = run_of(tmp_path, rows, summary=None)
    accuracy = cards_of(run, phases_of(run), layers_of(run))[0]
    assert [bar.kind for bar in accuracy.bars] == ["sparse"]


def test_a_slower_sparse_step_is_called_slower(tmp_path):
    run = run_of(tmp_path, [], summary={"step_ms_dense": 10.0, "step_ms_sparse": 15.0})
    (card,) = cards_of(run, (), layers_of(run))
    assert card.comparison == "1.5\u00d7 slower"
    assert [bar.share for bar in card.bars] == [10 / 15, 1.0]


def test_a_long_list_of_events_keeps_its_ends_and_says_how_many_are_left_out(tmp_path):
    run = run_of(tmp_path, [mask_row(step, "prune", 1.0) for step in range(1, 101)])
    rows = events_table(run, axis_of(run)).rows
    assert len(rows) == MOST_EVENTS + 1
    assert rows[MOST_EVENTS // 2][0] == f"{100 - MOST_EVENTS} more"
    assert [rows[0][1], rows[-1][1]] == ["1", "100"]
