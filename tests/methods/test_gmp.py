"""Gradual magnitude pruning and one-shot pruning."""

from __future__ import annotations

import pytest
import torch
from method_runs import attached, mlp, train

from tamis.errors import UsageError
from tamis.methods import GMP, OneShot
from tamis.sparsity import NM, keep_count


def half_empty():
    """The small network with 600 of its 736 weights zero."""
    model = mlp()
    weights = torch.cat([model[i].weight.detach().reshape(-1).abs() for i in (0, 3, 5)])
    threshold = weights.sort().values[600]
    with torch.no_grad():
        for i in (0, 3, 5):
            model[i].weight[model[i].weight.abs() < threshold] = 0.0
    return model


def test_events_at_published_steps_end_at_the_exact_target(pruning_vectors):
    vector = next(case for case in pruning_vectors["gmp_cubic"] if case["case"] == "events_1_5_40")
    model, optimizer, sparsifier = attached(GMP.at_steps(0.9, 1, 40, 5, initial=0.05))
    train(model, optimizer, range(41))
    assert [event["step"] for event in sparsifier.events] == [*vector["events_literal"], 40]
    for event, (_, target) in zip(sparsifier.events, vector["values"], strict=False):
        assert event["target"] == pytest.approx(target, rel=1e-9)
    for event in sparsifier.events:
        assert sum(row["live"] for row in event["layers"].values()) == keep_count(736, event["target"])
    assert sparsifier.events[-1]["target"] == vector["required_last_value"]


def test_shares_of_the_run_become_evenly_spaced_steps():
    assert [event.step for event in GMP(0.9, 100, start=0.2, end=0.8, events=5).plan] == [20, 35, 50, 65, 80]
    assert [event.step for event in GMP(0.9, 10, start=0.5, end=0.5, events=1).plan] == [5]
    assert GMP(0.9, 7, events=16).plan[-1].sparsity == 0.9


def test_without_revival_masks_nest_and_pruned_weights_never_return():
    model, optimizer, sparsifier = attached(GMP(0.9, 30, start=0.1, end=0.9, events=8))
    dead: dict[str, torch.Tensor] = {}

    def check(step):
        for name, mask in sparsifier.masks.items():
            assert not (mask & dead.get(name, torch.zeros_like(mask))).any()
            dead[name] = ~mask

    train(model, optimizer, range(30), after=check)
    assert [event["regrown_share"] for event in sparsifier.events] == [None] + [0.0] * 7


@pytest.mark.parametrize("packed", [True, False])
def test_with_revival_a_weight_returns_with_its_value_and_a_new_state(packed):
    model, optimizer, sparsifier = attached(GMP.at_steps(0.5, 2, 8, 3, initial=0.45, revive=True, packed=packed))
    train(model, optimizer, range(2))
    assert sparsifier.step == 2
    old = sparsifier.masks
    saved = {name: values.clone() for name, values in sparsifier._pruned._values.items()}
    assert all(torch.equal(saved[name] != 0, ~mask) for name, mask in old.items())
    train(model, optimizer, range(2, 4))
    with torch.no_grad():  # live weights shrink, so that pruned ones outrank them at the next event
        for name in old:
            model.get_submodule(name).weight.mul_(0.05)
    train(model, optimizer, range(4, 5))
    regrown = {name: sparsifier.masks[name] & ~mask for name, mask in old.items()}
    assert sum(int(r.sum()) for r in regrown.values()) > 100
    assert sum(int(m.sum()) for m in sparsifier.masks.values()) == keep_count(736, sparsifier.events[-1]["target"])
    assert sparsifier.events[-1]["regrown_share"] > 0.2
    new = sparsifier.masks
    state = model.state_dict()
    buffers = {name: optimizer.state[model.get_submodule(name).weight]["momentum_buffer"] for name in old}
    if packed:
        buffers = {name: model.get_submodule(name).pattern.unpack(buffer) for name, buffer in buffers.items()}
    for name, came_back in regrown.items():
        assert torch.equal(state[f"{name}.weight"][came_back], saved[name][came_back])
        assert not buffers[name][came_back].any()
        assert bool(buffers[name][new[name] & old[name]].any())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "make", [lambda **o: GMP(0.95, 20, initial=0.1, events=5, **o), lambda **o: OneShot(0.95, **o)]
)
def test_pruning_a_sparse_checkpoint_keeps_its_zeros(make, packed):
    model = half_empty()
    zeros = {i: model[i].weight.detach() == 0 for i in (0, 3, 5)}
    _, optimizer, sparsifier = attached(make(from_zeros=True, packed=packed), model=model)

    def check(step):
        state = model.state_dict()
        assert all(not state[f"{i}.weight"][zero].any() for i, zero in zeros.items())

    train(model, optimizer, range(20), after=check)
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == keep_count(736, 0.95)


def test_a_checkpoint_sparser_than_the_target_stays_as_it_is():
    model = half_empty()
    _, optimizer, sparsifier = attached(GMP(0.5, 10, events=3, from_zeros=True), model=model)
    train(model, optimizer, range(10))
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == 136


def test_one_shot_prunes_once_at_its_step_and_keeps_the_largest():
    model, optimizer, sparsifier = attached(OneShot(0.9, at_step=3))
    train(model, optimizer, range(2))
    assert sparsifier.phase == "dense"
    before = {}
    sparsifier.before_change(lambda s: before.update({n: model.get_submodule(n).weight.detach().abs() for n in "035"}))
    train(model, optimizer, range(2, 3))
    mask = sparsifier.masks
    assert sum(int(m.sum()) for m in mask.values()) == keep_count(736, 0.9)
    for name, magnitude in before.items():
        if mask[name].any() and not mask[name].all():
            assert magnitude[mask[name]].min() >= magnitude[~mask[name]].max()
    train(model, optimizer, range(3, 8))
    assert len(sparsifier.events) == 1
    assert all(torch.equal(mask[n], sparsifier.masks[n]) for n in mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 0.8, "end": 0.2}, "0 <= start <= end <= 1"),
        ({"events": 1}, "at least 2 events"),
        ({"total_steps": 0}, "total_steps >= 1"),
        ({"initial": 0.95}, "above the target"),
        ({"initial": 1.5}, "initial"),
        ({"revive": True, "from_zeros": True}, "choose one"),
        ({"sparsity": 0.5, "pattern": NM(2, 4)}, "fixes the sparsity"),
    ],
)
def test_choices_of_gradual_pruning_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        GMP(**{"sparsity": 0.9, "total_steps": 100, **arguments})


def test_a_negative_step_of_one_shot_pruning_is_refused():
    with pytest.raises(UsageError, match="at_step must be at least 0"):
        OneShot(0.9, at_step=-1)
