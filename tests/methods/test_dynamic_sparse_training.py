"""What SET, RigL and SNFS share: exact zeros, counts, state of new weights, refusals."""

from __future__ import annotations

import copy

import pytest
import torch
from method_runs import OPTIMIZERS, assert_same_state, attached, gradients_of, mlp, train

from tamis.errors import UsageError
from tamis.methods import SET, SNFS, PowerPropagation, RandomPruning, RigL, SRigL, Static
from tamis.sparsity import ERK, NM, Block, FanIn, Global, Uniform, keep_count

DYNAMIC = {
    "set": lambda **o: SET(0.7, 12, every=3, alpha=0.6, **o),
    "rigl": lambda **o: RigL(0.7, 12, every=3, alpha=0.6, **o),
    "snfs": lambda **o: SNFS(0.7, 12, every=3, alpha=0.6, **o),
    "srigl": lambda **o: SRigL(0.7, 12, every=3, alpha=0.6, gamma=0.6, **o),
}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("method", DYNAMIC)
def test_pruned_weights_are_zero_after_every_step_and_the_model_keeps_its_face(method, name, packed):
    model, optimizer, sparsifier = attached(DYNAMIC[method](packed=packed), name)
    before = {key: value.shape for key, value in model.state_dict().items()}

    def check(step):
        state = model.state_dict()
        assert {key: value.shape for key, value in state.items()} == before
        for n, mask in sparsifier.masks.items():
            assert not state[f"{n}.weight"][~mask].any()
        assert_same_state(model, copy.deepcopy(model))

    train(model, optimizer, range(12), after=check)
    assert len({event["hash"] for event in sparsifier.events}) > 2
    masks = sparsifier.masks
    sparsifier.finalize()
    assert all(not model.get_submodule(n).weight[~mask].any() for n, mask in masks.items())


@pytest.mark.parametrize("packed", [True, False])
def test_set_updates_after_the_step_and_never_needs_dense_gradients(packed):
    model, optimizer, sparsifier = attached(SET(0.7, 40, every=4, packed=packed))
    before = {}
    sparsifier.before_change(lambda s: before.update(copy.deepcopy(model.state_dict())))
    masks = [sparsifier.masks]

    def check(step):
        assert bool(sparsifier._supports.packed_layers) == packed
        masks.append(sparsifier.masks)

    train(model, optimizer, range(4), after=check)
    after, old, new = model.state_dict(), masks[-2], masks[-1]
    for name in new:
        assert torch.equal(after[f"{name}.weight"], torch.where(old[name] & new[name], before[f"{name}.weight"], 0.0))
    twin, other, _ = attached(Static(0.7, packed=packed))
    train(twin, other, range(4))  # up to the update, SET is static training with the same masks
    assert all(torch.equal(before[key], value) for key, value in twin.state_dict().items())
    assert any(bool((old[name] != new[name]).any()) for name in new)


def test_two_seeds_grow_other_weights_and_one_seed_the_same():
    hashes = []
    for seed in (1, 1, 2):
        model, optimizer, sparsifier = attached(SET(0.7, 20, every=4, seed=seed))
        train(model, optimizer, range(9))
        hashes.append([event["hash"] for event in sparsifier.events])
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[2][0]


def test_updates_end_where_they_should_and_layers_rest_packed_then():
    for make, steps in ((RigL, [0, 4, 8, 12, 16]), (SET, [0, 4, 8, 12, 16]), (SNFS, [0, 4, 8, 12, 16])):
        model, optimizer, sparsifier = attached(make(0.7, 25, every=4, alpha=1.0, packed=True))
        assert sparsifier.end == 19
        seen = []
        for step in range(25):
            train(model, optimizer, [step])
            seen.append(bool(sparsifier._supports.packed_layers))
        assert [event["step"] for event in sparsifier.events] == steps
        if make is RigL:
            assert [not packed for packed in seen] == [step % 4 == 0 and step <= 16 for step in range(1, 26)]
        elif make is SET:
            assert all(seen)
        else:
            assert seen == [False] * 15 + [True] * 10


def test_snfs_grows_where_the_running_mean_of_the_gradient_is_largest():
    model, optimizer, sparsifier = attached(SNFS(0.7, 40, every=4, decay=0.5))
    means = {}
    before = sparsifier.masks
    for step in range(4):
        gradients_of(model, [step])
        for name in before:
            gradient = model.get_submodule(name).weight.grad
            means[name] = 0.5 * means.get(name, torch.zeros_like(gradient)) + 0.5 * gradient
        optimizer.step()
    for name, mask in sparsifier.masks.items():
        grown, dead = mask & ~before[name], ~mask & ~before[name]
        if grown.any() and dead.any():
            assert means[name].abs()[grown].min() >= means[name].abs()[dead].max()
    assert sparsifier.events[-1]["iou"] < 1.0


@pytest.mark.parametrize("make", [RigL, SET, SNFS])
@pytest.mark.parametrize("distribution", [ERK(), Uniform(first_dense=True), Global()])
def test_first_masks_have_exact_counts_under_every_distribution(make, distribution):
    model, *_, sparsifier = attached(make(0.8, 40, distribution=distribution))
    shapes = {name: model.get_submodule(name).weight for name in sparsifier.masks}
    dense = {name: torch.rand(sparsifier._supports.shapes()[name]) for name in shapes}
    live = {name: int(mask.sum()) for name, mask in sparsifier.masks.items()}
    if isinstance(distribution, Global):
        assert sum(live.values()) == keep_count(736, 0.8)
    else:
        assert live == distribution.keep_counts(dense, 0.8)
    if isinstance(distribution, Uniform):
        assert sparsifier.masks["0"].all()


def test_from_zeros_starts_inside_the_support_of_the_model():
    model = mlp()
    with torch.no_grad():
        model[3].weight[:, ::2] = 0.0
    zeros = model[3].weight.detach() == 0
    values = model[3].weight.detach().clone()
    _, _, sparsifier = attached(RigL(0.8, 40, from_zeros=True, initial="magnitude", packed=False), model=model)
    mask = sparsifier.masks["3"]
    assert not (mask & zeros).any()
    assert values.abs()[mask].min() >= values.abs()[~mask].max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every must be a whole number"),
        ({"reparameterise": PowerPropagation(2.0)}, "grows weights from 0"),
        ({"every": 2.5}, "every must be a whole number"),
        ({"alpha": 1.5}, "alpha must be a share"),
        ({"end": 2.5}, "whole number of steps"),
        ({"end": 101}, "steps up to 100"),
        ({"end": -0.1}, "share of the run"),
        ({"anneal": "linear"}, "anneal must be"),
        ({"initial": "snip"}, "initial must be"),
        ({"total_steps": 0}, "total_steps must be"),
        ({"sparsity": 0.75, "pattern": NM(1, 4), "distribution": Uniform()}, "moves single weights.*Static"),
        ({"pattern": Block(2, 2)}, "moves single weights.*Static"),
        ({"pattern": FanIn()}, "use SRigL"),
    ],
)
@pytest.mark.parametrize("make", [RigL, SET, SNFS])
def test_choices_that_do_not_fit_are_refused(make, arguments, message):
    with pytest.raises(UsageError, match=message):
        make(**{"sparsity": 0.9, "total_steps": 100, **arguments})


def test_other_wrong_choices_are_refused():
    with pytest.raises(UsageError, match="decay"):
        SNFS(0.9, 100, decay=1.0)
    with pytest.raises(UsageError, match="at_step"):
        RandomPruning(0.9, at_step=-1)


def test_a_first_update_without_a_mean_of_gradients_is_refused():
    with pytest.raises(UsageError, match="leave first_update_at_zero out"):
        SNFS(0.9, 100, first_update_at_zero=True)
