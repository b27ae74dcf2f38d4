"""The benchmark measures what it says: fair turns, the better dense format, errors against float64."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from tamis import bench
from tamis.bench import LayerCase, LayerResult, StepCase, Timing, contest, contest_stages, geometric_mean
from tamis.bench._layers import Entry
from tamis.bench._networks import build_model, masked_model, random_masks
from tamis.bench._split import milliseconds_in_layers

LAYERS = [LayerCase(8, 6, batch=10), LayerCase(8, 6, 7, 3, batch=18), LayerCase(8, 6, 7, 1, 2, batch=3)]


def test_contestants_take_turns_after_a_warm_up():
    calls: list[str] = []
    times = contest({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert set(times) == {"a", "b"}
    assert all(t.repeats == 3 and t.cpu_ms >= 0 and t.wall_ms >= 0 for t in times.values())


def test_a_short_call_is_repeated_until_its_turn_is_long_enough():
    calls: list[int] = []
    contest({"a": lambda: calls.append(0)}, repeats=1, warmup=1, minimum_ms=1e9)
    assert len(calls) == 1 + 200


def test_stages_are_timed_one_by_one_and_in_total():
    order: list[str] = []
    stages = {name: lambda name=name: order.append(name) for name in ("forward", "backward")}
    times = contest_stages({"x": stages}, repeats=2, warmup=0)["x"]
    assert order == ["forward", "backward"] * 2
    assert set(times) == {"forward", "backward", "total"}
    assert times["total"].wall_ms >= times["forward"].wall_ms


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_a_layer_is_measured_against_dense_torch_with_float32_errors(case):
    (result,) = bench.measure_layer(case, [0.7], repeats=2)
    expected = {"ours", "nchw"} | ({"nhwc"} if case.pixels else set())
    assert set(result.entries) == expected | ({"ours_batch_last"} if case.batch >= 16 else set())
    for entry in result.entries.values():
        assert entry.error_forward < 1e-5
        assert entry.error_gradients < 1e-4
    best = min(result.entries[n].both.cpu_ms for n in ("nchw", "nhwc") if n in result.entries)
    assert result.speedup == pytest.approx(best / result.entries["ours"].both.cpu_ms)
    row = result.row()
    assert row["layer"] == case.name
    assert row["best_dense"] in result.entries


def test_sparsities_share_the_dense_measurement():
    first, second = bench.measure_layer(LAYERS[0], [0.5, 0.9], repeats=1)
    assert first.entries["nchw"] == second.entries["nchw"]
    assert first.entries["ours"] != second.entries["ours"]


def result_of(**both: float) -> LayerResult:
    entries = {name: Entry(Timing(ms / 3, ms / 3, 1), Timing(ms, ms + 1, 1), 0.0, 0.0) for name, ms in both.items()}
    return LayerResult("x", 0.9, 2, 1, True, entries, {}, 1000, 100.0)


def test_the_speedup_of_a_row_is_against_the_faster_dense_format():
    result = result_of(ours=2.0, nchw=9.0, nhwc=6.0)
    assert result.row()["best_dense"] == "nhwc"
    assert result.row()["speedup"] == 3.0
    assert result.row()["speedup_wall"] == round(7 / 3, 3)


def test_a_peer_that_is_wrong_gets_no_ratio_and_one_without_backward_that_of_the_forward():
    result = result_of(ours=2.0, nchw=9.0, good=4.0, bad=1.0, forward_only=6.0)
    changed = {
        "bad": dataclasses.replace(result.entries["bad"], error_gradients=float("nan")),
        "forward_only": dataclasses.replace(result.entries["forward_only"], both=None, error_gradients=None),
    }
    wrong = dataclasses.replace(changed["bad"], error_forward=0.3, error_gradients=0.0)
    result = dataclasses.replace(result, entries={**result.entries, **changed, "bad": wrong})
    assert result.speedup_over("good") == 2.0
    assert result.speedup_over("bad") is None
    assert result.speedup_over("forward_only") == pytest.approx(3.0)
    assert result.row()["forward_only_cpu_ms"] == ""
    (good,) = [mean for mean in bench.mean_speedups([result]) if mean["over"] == "good"]
    assert (good["cases"], good["geometric_mean"]) == (1, 2.0)
    assert all(mean["over"] != "bad" for mean in bench.mean_speedups([result]))


def test_a_training_step_runs_packed_and_dense_in_three_stages():
    case = StepCase("resnet20", 8, 4, 10)
    result, sparser = bench.measure_step(case, [0.9, 0.95], repeats=1)
    assert sparser.parameter_bytes["ours"] < result.parameter_bytes["ours"] < result.parameter_bytes["nchw"]
    assert sparser.times["nchw"] == result.times["nchw"]
    assert result.packed_layers == 19
    assert set(result.times) == {"ours", "nchw", "nhwc"}
    assert set(result.times["ours"]) == {"forward", "backward", "optimizer", "total"}
    assert max(result.errors.values()) < 1e-2
    assert all(forward > 0 and backward > 0 for forward, backward in result.layers_ms.values())
    row = result.row()
    assert row["speedup"] == pytest.approx(result.speedup, abs=1e-3)
    assert {"ours_backward_cpu_ms", "ours_rest_cpu_ms", "nhwc_layers_forward_cpu_ms"} <= row.keys()


def test_inference_folds_batch_norm_without_changing_the_result():
    (result,) = bench.measure_inference(StepCase("resnet20", 8, 2, 10), [0.9], repeats=1)
    assert set(result.times) == {"ours", "ours_folded", "nchw", "nhwc", "folded_nchw", "folded_nhwc"}
    assert max(result.errors.values()) < 1e-4
    assert result.packed_layers == 19
    assert result.notes == {}


def test_the_encoder_has_four_projections_a_block_that_can_be_packed():
    case = StepCase("bert_base", 4, 1, 2)
    masks = random_masks(build_model(case), 0.9)
    assert len(masks) == 12 * 6
    assert masked_model(case, 0.9)(torch.randn(case.input_shape)).shape == (1, 2)


def test_time_in_layers_is_that_of_the_named_modules_and_the_hooks_go():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    outputs = []
    x = torch.randn(2, 4, requires_grad=True)
    forward, backward = milliseconds_in_layers(
        model, ["0", "2"], lambda: outputs.append(model(x)), lambda: outputs[0].sum().backward()
    )
    assert forward > 0
    assert backward > 0
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model)


def test_scaling_compares_wall_times_of_the_same_case_and_sparsity():
    rows = [
        {"layer": "a", "sparsity": 0.9, "threads": 1, "ours_wall_ms": 4.0, "csr_wall_ms": ""},
        {"layer": "a", "sparsity": 0.9, "threads": 2, "ours_wall_ms": 2.5, "csr_wall_ms": ""},
        {"layer": "b", "sparsity": 0.9, "threads": 1, "ours_wall_ms": 4.0},
    ]
    assert bench.thread_scaling(rows, "layer") == [{"layer": "a", "sparsity": 0.9, "threads": "1 to 2", "ours": 1.6}]


def test_waiting_tells_other_work_from_idle_processors():
    assert bench.waiting([{"threads": 1, "ours_wall_ms": 3.0, "ours_cpu_ms": 2.0}]) == 1.5
    assert math.isnan(bench.waiting([{"threads": 2, "ours_wall_ms": 3.0, "ours_cpu_ms": 2.0}]))


def test_the_suites_name_every_case_once():
    for suite in (bench.LAYER_SUITE, bench.STEP_SUITE, bench.INFER_SUITE):
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


def test_the_machine_says_whether_it_is_busy_and_which_peers_it_has(monkeypatch):
    absent = dataclasses.replace(bench.PEERS["sparselab"], packages=("no_such_package",))
    monkeypatch.setitem(bench.PEERS, "sparselab", absent)
    machine = bench.describe_machine(["dense", "sparselab"])
    assert isinstance(machine["busy"], bool)
    assert machine["threads"] == torch.get_num_threads()
    assert machine["peers"] == {"sparselab": "not installed (no_such_package)"}
    assert bench.reference_gflops(64, 1) > 0
