"""A resumed run is the uninterrupted run, bit for bit."""

from __future__ import annotations

import copy
import json
from functools import partial

import pytest
import torch
from method_runs import OPTIMIZERS, SHORT, SURGEONS, assert_same_state, batch, convnet, mlp, train
from torch import nn

from tamis.errors import FileError, UsageError
from tamis.methods import (
    ACDC,
    DPF,
    GMP,
    LRR,
    SET,
    SNFS,
    SNIP,
    SRSTE,
    STE,
    STR,
    Examples,
    GraSP,
    KeepZeros,
    LotteryTicket,
    OneShot,
    PowerPropagation,
    Ramp,
    RandomPruning,
    ReturnAsSaved,
    ReturnAtRandom,
    RigL,
    SRigL,
    Static,
    SynFlow,
    TopKAST,
)
from tamis.nn import is_packed

STEPS = 16
EXAMPLES = Examples(lambda: [batch(step) for step in range(100, 110)])
METHODS = {
    "acdc": lambda **o: ACDC(0.8, STEPS, schedule=SHORT, steps_per_epoch=5, **o),
    "acdc ramp": lambda **o: ACDC(0.8, STEPS, schedule=SHORT, ramp=Ramp(1.0, 2), **o),
    "acdc saved": lambda **o: ACDC(0.8, STEPS, schedule=SHORT, returning=ReturnAsSaved(), **o),
    "acdc random": lambda **o: ACDC(0.8, STEPS, schedule=SHORT, returning=ReturnAtRandom(), **o),
    "gmp": lambda **o: GMP(0.8, STEPS, initial=0.2, events=6, **o),
    "gmp revive": lambda **o: GMP(0.8, STEPS, initial=0.2, events=6, revive=True, **o),
    "gmp from zeros": lambda **o: GMP(0.8, STEPS, from_zeros=True, **o),
    "one shot": lambda **o: OneShot(0.8, at_step=3, **o),
    "keep zeros": lambda **o: KeepZeros(**o),
    "set": lambda **o: SET(0.8, STEPS, every=3, **o),
    "rigl": lambda **o: RigL(0.8, STEPS, every=2, end=1.0, **o),  # stops 2, 4 and 6 come right before an update
    "rigl constant": lambda **o: RigL(0.8, STEPS, every=3, anneal="constant", first_update_at_zero=True, **o),
    "snfs": lambda **o: SNFS(0.8, STEPS, every=3, end=0.6, **o),
    "srigl": lambda **o: SRigL(0.8, STEPS, every=2, end=1.0, alpha=0.6, gamma=0.6, **o),
    "random": lambda **o: RandomPruning(0.8, at_step=3, **o),
    "static": lambda **o: Static(0.8, **o),
    "topkast": lambda **o: TopKAST(0.8, every=3, strength=0.1, **o),
    "ste": lambda packed: STE(0.8, STEPS, start=0.2, end=0.5, record_every=3),
    "dpf": lambda **o: DPF(0.8, STEPS, every=3, **o),
    "sr ste": lambda packed: SRSTE(0.5, STEPS, strength=0.01, record_every=5),
    "str": lambda packed: STR(0.8, STEPS, initial_logit=-4.0),
    "gmp power": lambda **o: GMP(0.8, STEPS, initial=0.2, events=6, reparameterise=PowerPropagation(3.0), **o),
    "acdc power": lambda **o: ACDC(
        0.8, STEPS, schedule=SHORT, returning=ReturnAsSaved(), reparameterise=PowerPropagation(2.0), **o
    ),
    "lottery ticket": lambda **o: LotteryTicket(0.7, steps_per_level=4, first_steps=3, rewind_step=1, **o),
    "lottery ticket from zeros": lambda **o: LotteryTicket(0.7, STEPS, fraction=0.5, from_zeros=True, **o),
    "learning-rate rewinding": lambda **o: LRR(0.7, steps_per_level=3, **o),
    "learning-rate rewinding, momentum kept": lambda **o: LRR(0.7, steps_per_level=3, reset_optimizer=False, **o),
    "snip": lambda **o: SNIP(0.7, examples=EXAMPLES, **o),
    "grasp": lambda **o: GraSP(0.7, examples=EXAMPLES, **o),
    "synflow": lambda **o: SynFlow(0.7, input_shape=(12,), rounds=5, **o),
    **{name: partial(make, 0.8, STEPS) for name, make in SURGEONS.items()},
}


def start(method, name, packed):
    model = mlp()
    optimizer = OPTIMIZERS[name](model.parameters())
    return model, optimizer, METHODS[method](packed=packed).attach(model, optimizer)


def through_json(state):
    """What a checkpoint file does to a sparsifier's state."""
    return {
        "tensors": {k: t.clone() for k, t in state["tensors"].items()},
        "json": json.loads(json.dumps(state["json"])),
    }


@pytest.mark.parametrize(("packed", "stop"), [(True, 2), (True, 6), (False, 4)])
@pytest.mark.parametrize(
    ("method", "name"),
    [
        *((m, "momentum") for m in METHODS),
        *((m, "adamw") for m in METHODS),
        ("str", "adagrad"),
        ("lottery ticket", "adagrad"),
    ],
)
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(method, name, packed, stop):
    model, optimizer, whole = start(method, name, packed)
    train(model, optimizer, range(STEPS))

    model_a, optimizer_a, first = start(method, name, packed)
    train(model_a, optimizer_a, range(stop))
    saved = copy.deepcopy((through_json(first.state_dict()), model_a.state_dict(), optimizer_a.state_dict()))

    model_b = mlp(seed=9)  # another initialisation: everything must come from the checkpoint
    optimizer_b = OPTIMIZERS[name](model_b.parameters())
    second = METHODS[method](packed=packed).attach(model_b, optimizer_b)
    second.load_state_dict(saved[0])
    model_b.load_state_dict(saved[1])
    optimizer_b.load_state_dict(saved[2])
    assert second.step == stop
    assert second.phase == first.phase
    assert_same_state(model_a, model_b)
    train(model_b, optimizer_b, range(stop, STEPS))

    assert_same_state(model, model_b)
    assert whole.report() == second.report()
    left, right = whole.state_dict(), second.state_dict()
    for state in (left, right):
        assert sum(row["steps"] for row in state["json"].pop("times")) == STEPS  # measured, so never twice the same
    assert left["json"] == right["json"]
    assert left["tensors"].keys() == right["tensors"].keys()
    assert all(torch.equal(left["tensors"][key], right["tensors"][key]) for key in left["tensors"])


def test_a_state_loaded_before_attach_is_applied_there():
    model, optimizer, first = start("acdc", "momentum", True)
    train(model, optimizer, range(4))
    saved = through_json(first.state_dict())
    twin = mlp()
    other = OPTIMIZERS["momentum"](twin.parameters())
    second = METHODS["acdc"](packed=True)
    second.load_state_dict(saved)
    second.attach(twin, other)
    assert (second.step, second.phase) == (4, "sparse")
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer, range(4, STEPS))
    train(twin, other, range(4, STEPS))
    assert_same_state(model, twin)


def test_packed_optimizer_state_for_a_dense_layer_is_refused_with_the_right_order():
    model, optimizer, _ = start("acdc", "momentum", True)
    train(model, optimizer, range(4))
    assert is_packed(model[3])
    stored = copy.deepcopy(optimizer.state_dict())
    assert stored["state"][4]["momentum_buffer"].shape == model[3].weight.shape
    _, other, _ = start("acdc", "momentum", True)
    with pytest.raises(UsageError, match=r"'momentum_buffer' of 0\.weight .*sparsifier\.load_state_dict"):
        other.load_state_dict(stored)


@pytest.mark.parametrize("name", ["momentum", "adamw"])
@pytest.mark.parametrize("method", ["set", "topkast"])
def test_packed_optimizer_state_of_another_mask_is_refused_with_the_right_order(method, name):
    model, optimizer, first = start(method, name, True)
    train(model, optimizer, range(7))
    stored = copy.deepcopy(optimizer.state_dict())
    again, other, second = start(method, name, True)
    before = copy.deepcopy(other.state_dict())
    assert is_packed(again[3])
    assert again[3].weight.shape == model[3].weight.shape
    with pytest.raises(UsageError, match=r"of 0\.weight belongs to another mask .*sparsifier\.load_state_dict"):
        other.load_state_dict(stored)
    assert other.state_dict()["state"].keys() == before["state"].keys()
    second.load_state_dict(through_json(first.state_dict()))
    other.load_state_dict(stored)
    for key, value in optimizer.state[model[3].weight].items():
        assert torch.equal(other.state[again[3].weight][key], value)
    assert other.state[again[3].weight].keys() == optimizer.state[model[3].weight].keys()
    unmarked = copy.deepcopy(stored)
    for entry in unmarked["state"].values():
        entry.pop("tamis_support", None)
    other.load_state_dict(unmarked)  # as earlier versions wrote it


def test_dense_optimizer_state_is_packed_when_the_layer_is():
    masked_model, masked_optimizer, masked = start("acdc", "momentum", False)
    train(masked_model, masked_optimizer, range(4))
    model, optimizer, packed = start("acdc", "momentum", True)
    packed.load_state_dict(through_json(masked.state_dict()))
    model.load_state_dict(masked_model.state_dict())
    optimizer.load_state_dict(copy.deepcopy(masked_optimizer.state_dict()))
    assert is_packed(model[3])
    buffer = masked_optimizer.state[masked_model[3].weight]["momentum_buffer"]
    assert torch.equal(optimizer.state[model[3].weight]["momentum_buffer"], buffer[masked.masks["3"]])


def test_a_state_of_other_choices_or_another_model_is_refused_and_nothing_changes():
    model, optimizer, first = start("acdc", "momentum", False)
    train(model, optimizer, range(4))
    saved = through_json(first.state_dict())
    for other, message in [
        (ACDC(0.7, STEPS, schedule=SHORT), "choice 'sparsity' is 0.7 here but 0.8"),
        (ACDC(0.8, 2 * STEPS), "choice 'phases'"),
        (OneShot(0.8), "choice 'method'"),
        (ACDC(0.8, STEPS, schedule=SHORT, exclude="5"), "shape of layer '5' is None here"),
    ]:
        twin = mlp()
        other.attach(twin, OPTIMIZERS["momentum"](twin.parameters()))
        events = len(other.events)
        with pytest.raises(UsageError, match=message):
            other.load_state_dict(saved)
        assert (other.step, len(other.events)) == (0, events)
    twin = mlp()
    same = METHODS["acdc"]().attach(twin, OPTIMIZERS["momentum"](twin.parameters()))
    with pytest.raises(UsageError, match="format"):
        same.load_state_dict({"tensors": {}, "json": {**saved["json"], "format": 99}})
    with pytest.raises(UsageError, match=r"lacks the masks of \['0', '3', '5'\]"):
        same.load_state_dict({"tensors": {}, "json": saved["json"]})
    short = {**saved["tensors"], "mask/3": saved["tensors"]["mask/3"][:-1]}
    with pytest.raises(FileError, match="needs 48 bytes"):
        same.load_state_dict({"tensors": short, "json": saved["json"]})
    assert same.step == 0
    assert_same_state(twin, mlp())


@pytest.mark.parametrize("name", ["momentum", "adam", "adamw"])
@pytest.mark.parametrize("method", METHODS)
def test_pruned_weights_are_exactly_zero_after_every_step_of_every_method(method, name):
    model, optimizer, sparsifier = start(method, name, False)
    for step in range(STEPS):
        train(model, optimizer, [step])
        state = model.state_dict()
        for layer, mask in sparsifier.masks.items():
            assert not bool(state[f"{layer}.weight"][~mask].any()), (layer, step)
    assert sparsifier.masks


def checkpoints_before_changes(method, name, packed):
    """The finished run, and by step what a callback saved before the mask change of that step."""
    model, optimizer, sparsifier = start(method, name, packed)
    saved = {}

    def save(sparsifier):
        parts = (through_json(sparsifier.state_dict()), model.state_dict(), optimizer.state_dict())
        saved[sparsifier.step] = copy.deepcopy(parts)

    sparsifier.before_change(save)
    train(model, optimizer, range(STEPS))
    return model, sparsifier, saved


IN_PLACE_OF_STEPS = {"rigl", "rigl constant", "srigl"}


@pytest.mark.parametrize(("name", "packed"), [("momentum", True), ("adamw", False)])
@pytest.mark.parametrize("method", [method for method in METHODS if method not in IN_PLACE_OF_STEPS])
def test_a_run_resumed_from_inside_before_change_makes_the_change(method, name, packed):
    model, whole, saved = checkpoints_before_changes(method, name, packed)
    assert saved.keys() == {event["step"] for event in whole.events if event["step"] > 0}
    for step, (state, weights, moments) in saved.items():
        model_b = mlp(seed=9)
        optimizer_b = OPTIMIZERS[name](model_b.parameters())
        second = METHODS[method](packed=packed).attach(model_b, optimizer_b)
        seen = []
        second.before_change(lambda s, seen=seen: seen.append(s.step))
        second.load_state_dict(copy.deepcopy(state))
        model_b.load_state_dict(weights)
        optimizer_b.load_state_dict(copy.deepcopy(moments))
        train(model_b, optimizer_b, range(step, STEPS))
        assert_same_state(model, model_b)
        assert whole.report() == second.report()
        assert seen[0] == step
        left, right = whole.state_dict(), second.state_dict()
        assert left["tensors"].keys() == right["tensors"].keys()
        assert all(torch.equal(left["tensors"][key], right["tensors"][key]) for key in left["tensors"])


def test_a_change_waits_for_model_and_optimizer_in_either_order_and_training_without_them_is_refused():
    _, whole, saved = checkpoints_before_changes("acdc", "momentum", False)
    state, weights, moments = saved[5]
    model, optimizer, resumed = start("acdc", "momentum", False)
    resumed.load_state_dict(state)
    assert (resumed.step, resumed.phase) == (5, "sparse")
    assert through_json(resumed.state_dict())["json"]["entering"]
    with pytest.raises(UsageError, match=r"call model\.load_state_dict\(\.\.\.\) and optimizer\.load_state_dict"):
        train(model, optimizer, [5])
    optimizer.load_state_dict(copy.deepcopy(moments))
    with pytest.raises(UsageError, match=r"call model\.load_state_dict\(\.\.\.\) after"):
        train(model, optimizer, [5])
    model.load_state_dict(weights)
    assert (resumed.step, resumed.phase) == (5, "dense")
    assert not resumed.state_dict()["json"]["entering"]
    train(model, optimizer, range(5, STEPS))
    assert whole.report() == resumed.report()


@pytest.mark.parametrize("method", sorted(IN_PLACE_OF_STEPS))
def test_a_change_in_place_of_a_step_cannot_be_saved_and_says_so(method):
    model, optimizer, sparsifier = start(method, "momentum", False)
    refused = []

    def save(sparsifier):
        with pytest.raises(UsageError, match=r"in place of an optimizer step.* save after optimizer\.step"):
            sparsifier.state_dict()
        refused.append(sparsifier.step)

    sparsifier.before_change(save)
    train(model, optimizer, range(STEPS))
    assert refused
    assert sparsifier.state_dict()["json"]["step"] == STEPS


# Layers of other shapes and names show best what is left of them; these methods pass (12,) inputs through, or need rows
# that can be cut into fours.
ONLY_MLPS = {"snip", "grasp", "synflow", "sr ste", *SURGEONS}


@pytest.mark.parametrize("method", METHODS)
def test_a_sparsifier_that_was_detached_before_the_first_step_begins_anew_on_another_model(method):
    others = mlp(seed=5) if method in ONLY_MLPS else convnet()
    used = METHODS[method](packed=False)
    used.attach(others, OPTIMIZERS["momentum"](others.parameters())).detach()
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    used.attach(model, optimizer)
    twin, other, fresh = start(method, "momentum", False)
    assert_same_state(model, twin)
    train(model, optimizer, range(STEPS))
    train(twin, other, range(STEPS))
    assert_same_state(model, twin)
    assert used.report() == fresh.report()
    left, right = used.state_dict(), fresh.state_dict()
    assert left["tensors"].keys() == right["tensors"].keys()
    assert all(torch.equal(left["tensors"][key], right["tensors"][key]) for key in left["tensors"])
    for state in (left, right):
        state["json"].pop("times")
    assert left["json"] == right["json"]


def test_a_failed_attach_keeps_the_state_that_waits_to_be_loaded():
    model, optimizer, first = start("acdc", "momentum", False)
    train(model, optimizer, range(6))
    second = METHODS["acdc"](packed=False)
    second.load_state_dict(through_json(first.state_dict()))
    wrong = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4))
    with pytest.raises(UsageError, match="cannot resume: shape of layer"):
        second.attach(wrong, OPTIMIZERS["momentum"](wrong.parameters()))
    right = mlp(seed=9)
    second.attach(right, OPTIMIZERS["momentum"](right.parameters()))
    assert (second.step, second.phase, len(second.events)) == (6, first.phase, len(first.events))
    assert second.masks.keys() == first.masks.keys()
    assert all(torch.equal(first.masks[name], mask) for name, mask in second.masks.items())
