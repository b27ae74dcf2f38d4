"""The benchmark measures what it says: fair turns, the better dense format, errors against float64."""

from __future__ import annotations

import math

import pytest
import torch

from tamis import bench
from tamis.bench import LayerCase, StepCase, Timing, contest, geometric_mean, measure_layer, measure_step
from tamis.bench._layers import LayerResult


def test_contestants_take_turns_after_a_warm_up():
    calls: list[str] = []
    times = contest({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert set(times) == {"a", "b"}
    assert all(t.repeats == 3 and t.cpu_ms >= 0 and t.wall_ms >= 0 for t in times.values())


@pytest.mark.parametrize(
    "case",
    [LayerCase(8, 6, batch=10), LayerCase(8, 6, 7, 3, batch=9), LayerCase(8, 6, 7, 1, 2, batch=3)],
    ids=lambda case: case.name,
)
def test_a_layer_is_measured_against_dense_torch_with_float32_errors(case):
    (result,) = measure_layer(case, [0.7], repeats=2)
    assert set(result.dense) == ({"nchw", "nhwc"} if case.pixels else {"nchw"})
    assert result.error_forward < 1e-5
    assert result.error_gradients < 1e-4
    assert result.speedup == pytest.approx(min(t.cpu_ms for t in result.dense.values()) / result.sparse.cpu_ms)
    row = result.row()
    assert row["layer"] == case.name
    assert row["best_dense"] in result.dense


def test_the_speedup_of_a_row_is_against_the_faster_dense_format():
    slow, fast, ours = Timing(9.0, 9.0, 1), Timing(6.0, 7.0, 1), Timing(2.0, 2.0, 1)
    result = LayerResult("x", 0.9, 1, 1, ours, ours, {"nchw": slow, "nhwc": fast}, {"nchw": slow, "nhwc": fast},
                         3.0, 3.0, 3.5, 0.1, 0.0, 0.0)  # fmt: skip
    assert result.row()["best_dense"] == "nhwc"
    assert result.row()["dense_wall_ms"] == 7.0


def test_a_training_step_runs_packed_and_dense():
    result, sparser = measure_step(StepCase("resnet20", 8, 4, 10), [0.9, 0.95], repeats=1)
    assert sparser.parameter_bytes_packed < result.parameter_bytes_packed
    assert sparser.dense == result.dense
    assert result.packed_layers == 19
    assert result.parameter_bytes_packed < result.parameter_bytes_dense
    assert set(result.dense) == {"nchw", "nhwc"}
    assert result.row()["speedup"] == pytest.approx(result.speedup, abs=1e-3)


def test_the_suites_name_every_case_once():
    for suite in (bench.LAYER_SUITE, bench.STEP_SUITE):
        names = [case.name for case in suite]
        assert len(set(names)) == len(names)


def test_the_geometric_mean_of_nothing_is_no_number():
    assert math.isnan(geometric_mean([]))
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_a_csv_file_carries_the_machine_above_its_rows(tmp_path):
    path = bench.write_csv(tmp_path / "r.csv", [{"a": 1, "b": "x,y"}, {"a": 2}], {"processor": "P", "threads": 1})
    lines = path.read_text().splitlines()
    assert lines[0] == "# processor: P"
    assert lines[-3:] == ["a,b", '1,"x,y"', "2,"]


def test_the_machine_says_whether_it_is_busy():
    machine = bench.describe_machine()
    assert isinstance(machine["busy"], bool)
    assert machine["threads"] == torch.get_num_threads()
    assert bench.reference_gflops(64, 1) > 0
