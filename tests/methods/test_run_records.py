"""Events, reports, the history, and the FLOPs ledger of a run."""

from __future__ import annotations

import json

import pytest
import torch
from method_runs import OPTIMIZERS, convnet, mlp, train
from torch import nn

from tamis.errors import FileError, UsageError
from tamis.methods import ACDC, GMP, OneShot, measure_layer_costs
from tamis.methods._bitmap import from_bitmap, to_bitmap
from tamis.methods._records import MaskRecorder, is_chain
from tamis.methods._supports import LayerSupports
from tamis.methods._tree import flatten, unflatten
from tamis.nn import prunable_modules
from tamis.sparsity import Uniform, mask_hash, sparsity_of


def test_the_change_of_masks_is_that_of_the_vectors(pruning_vectors):
    vector = pruning_vectors["diagnostics"]
    model = nn.Sequential(nn.Linear(10, 1, bias=False))
    supports = LayerSupports(model, prunable_modules(model), torch.optim.SGD(model.parameters(), 0.1), False)
    recorder = MaskRecorder()
    for key in ("prev_mask", "mask"):
        masks = {"0": torch.tensor([vector[key]], dtype=torch.bool)}
        recorder.record("compress", 0, 0.5, masks, model, supports, ())
    first, second = recorder.events
    assert first["mask_change_percent"] is first["iou"] is first["regrown_share"] is None
    assert second["mask_change_percent"] == vector["mask_change_percent"]
    assert second["iou"] == vector["iou"]
    assert second["regrown_share"] == vector["regrown_fraction_of_new_mask"]


def test_dead_units_and_useful_weights_are_those_of_the_vectors(pruning_vectors):
    vector = pruning_vectors["diagnostics"]["dead_units"]
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    supports = LayerSupports(model, prunable_modules(model), torch.optim.SGD(model.parameters(), 0.1), False)
    recorder = MaskRecorder()
    first, second = (torch.tensor(rows, dtype=torch.bool) for key, rows in vector.items() if "mask (" in key)
    recorder.record("compress", 0, 0.5, {"0": first, "2": second}, model, supports, ())
    event = recorder.events[0]
    assert event["layers"]["0"]["no_fan_in"] == len(vector["no_fan_in"])
    assert event["layers"]["2"]["no_fan_out"] == len(vector["no_fan_out"])
    assert event["effective_nnz"] == vector["effective_nnz"]
    assert sum(row["live"] for row in event["layers"].values()) == vector["mask_nnz"]


def test_only_a_plain_chain_has_paths():
    model = mlp()
    masks = {name: torch.ones(layer.weight.shape) > 0 for name, layer in prunable_modules(model).items()}
    assert is_chain(model, masks)
    assert not is_chain(model, {"0": masks["0"]})  # the others are governed by nobody
    assert not is_chain(nn.Sequential(mlp()), masks)


@pytest.mark.parametrize("packed", [True, False])
def test_events_say_what_the_masks_say(packed):
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 40, distribution=Uniform(first_dense=True), packed=packed).attach(model, optimizer)

    def check(step):
        if sparsifier.phase == "sparse":
            event, masks = sparsifier.events[-1], sparsifier.masks
            assert event["hash"] == mask_hash(masks)
            assert event["sparsity"] == event["sparsity_over_all"] == pytest.approx(sparsity_of(masks), abs=1e-12)
            assert event["sparsity_over_pruned"] == pytest.approx(0.8, abs=1 / 64)
            assert event["packed"] == (["0", "3", "5"] if packed else [])

    train(model, optimizer, range(40), after=check)
    compressions = [event for event in sparsifier.events if event["event"] == "compress"]
    assert compressions[0]["iou"] is None
    assert all(0.0 < event["iou"] <= 1.0 for event in compressions[1:])
    assert json.loads(json.dumps(sparsifier.report())) == sparsifier.report()


def test_the_history_counts_live_and_exactly_nonzero_weights_per_phase():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 40).attach(model, optimizer)
    counted = {}
    sparsifier.before_change(
        lambda s: counted.update({s.step: sum(int(v.count_nonzero()) for k, v in model.state_dict().items()
                                              if k in ("0.weight", "3.weight", "5.weight"))})
    )  # fmt: skip
    train(model, optimizer, range(40))
    rows = sparsifier.report()["phases"]
    assert [(row["phase"], row["start"], row["end"]) for row in rows] == [
        (phase.kind, phase.start, phase.end) for phase in sparsifier.phases
    ]
    assert {row["end"]: row["nonzero"] for row in rows[:-1]} == counted
    assert {row["live"] for row in rows if row["phase"] == "dense"} == {736}
    assert all(row["zero_share"] == 1 - row["nonzero"] / row["live"] for row in rows)


def test_epochs_cut_the_history():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 100, steps_per_epoch=10).attach(model, optimizer)
    train(model, optimizer, range(37))
    assert [row["end"] for row in sparsifier.report()["phases"]] == [10, 15, 20, 25, 30, 35, 37]


def test_layer_costs_are_counted_on_an_example():
    model = convnet()
    model.train()
    costs = measure_layer_costs(model, torch.zeros(3, 2, 6, 6))
    assert [(cost.name, cost.shape, cost.positions) for cost in costs] == [
        ("0", (8, 2, 3, 3), 36),
        ("3", (8, 8, 3, 3), 9),
        ("6", (4, 72), 1),
    ]
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(UsageError, match="at least one sample"):
        measure_layer_costs(model, torch.zeros(0, 2, 6, 6))


@pytest.mark.parametrize("packed", [True, False])
def test_the_ledger_adds_up_what_was_trained(packed):
    model = convnet()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = GMP.at_steps(0.75, 10, 20, 10, initial=0.5, exclude="6", packed=packed).attach(model, optimizer)
    train(model, optimizer, range(40), (2, 6, 6))
    dense = 2 * (144 * 36 + 576 * 9 + 288)

    def forward(event):
        live = {name: row["live"] for name, row in event["layers"].items()}
        return 2 * (live["0"] * 36 + live["3"] * 9 + 288)

    half, quarter = (forward(event) for event in sparsifier.events)
    for sparsifier_state in ("attached", "finalized"):
        rows = {(row["row"], row["count"]): row for row in sparsifier.ledger(torch.zeros(2, 2, 6, 6))}
        assert rows["forward", "mask"]["flops"] == quarter, sparsifier_state
        assert rows["forward", "mask"]["dense_flops"] == dense
        training = rows["training", "mask"]
        assert training["fraction"] == pytest.approx((10 * dense + 10 * half + 20 * quarter) / (40 * dense), rel=1e-12)
        assert training["dense_flops"] == 3 * dense
        assert rows["training", "nonzero"]["fraction"] <= training["fraction"]
        if sparsifier_state == "attached":
            sparsifier.finalize()


def test_the_ledger_needs_a_model():
    with pytest.raises(UsageError, match="call attach"):
        OneShot(0.5).ledger(torch.zeros(1, 12))


def test_a_damaged_bitmap_or_picture_is_refused():
    bits = to_bitmap(torch.ones(3, 5) > 0)
    assert bits.tolist() == [255, 254]
    for damaged in (bits[:1], bits.float()):
        with pytest.raises(FileError, match="needs 2 bytes"):
            from_bitmap(damaged, (3, 5))
    with pytest.raises(FileError, match="cannot store net/hook"):
        flatten({"hook": print}, "net")
    tensors, picture = flatten({"state": {0: {"m": torch.ones(2)}}, "betas": (0.9, 0.99)}, "o")
    assert unflatten(tensors, json.loads(json.dumps(picture)))["betas"] == (0.9, 0.99)
    with pytest.raises(FileError, match="damaged checkpoint"):
        unflatten({}, picture)
