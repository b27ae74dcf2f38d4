"""SRigL: a constant fan-in, and neurons that go."""

from __future__ import annotations

import pytest
import torch
from method_runs import attached, convnet, mlp, train

from tamis.errors import UsageError
from tamis.methods import RigL, SRigL
from tamis.sparsity import ERK, NM, Uniform, fan_in_update


def fan_in(mask):
    return mask.flatten(1).sum(dim=1)


def test_an_update_in_a_small_picture():
    weight = torch.tensor([[3.0, 2.0, 0.0, 0.0], [0.0, 0.2, 0.1, 0.0], [0.0, 4.0, 0.0, 0.3]])
    gradient = torch.tensor([[0.0, 0.0, 0.5, 0.9], [0.1, 0.0, 0.0, 0.2], [0.8, 0.0, 0.3, 0.0]])
    # dropped: 0.2 and 0.1 (row 1); grown: 0.9 (row 0) and 0.8 (row 2); salient: 3, 0, 3
    update = fan_in_update(weight, weight != 0, gradient, 2, budget=6, gamma=0.3)
    assert update.neurons.tolist() == [True, False, True]
    assert update.fan_in == 3
    assert update.mask.int().tolist() == [[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 1]]
    # without ablation row 1 keeps its fan-in of 2, by gradient
    update = fan_in_update(weight, weight != 0, gradient, 2, budget=6, gamma=0.0)
    assert update.mask.int().tolist() == [[1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1]]


def test_an_ablated_neuron_stays_so_and_a_smaller_fan_in_drops_the_smallest():
    weight = torch.tensor([[3.0, 2.0, 1.0], [0.0, 0.0, 0.0], [1.0, 4.0, 3.0]])
    gradient = torch.full((3, 3), 5.0)
    update = fan_in_update(weight, weight != 0, gradient, 1, budget=4, gamma=0.3)
    assert update.neurons.tolist() == [True, False, True]
    assert update.mask.int().tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]


def test_ties_go_to_the_lower_index_and_zeros_of_both_signs_are_equal():
    weight = torch.tensor([[-0.0, 0.0, 0.0, -0.0]])
    mask = torch.tensor([[False, True, True, False]])
    update = fan_in_update(weight, mask, torch.tensor([[-1.0, 0.0, 0.0, 1.0]]), 1, budget=2, gamma=0.3)
    assert update.mask.int().tolist() == [[1, 1, 0, 0]]


def test_enough_neurons_are_left_to_hold_the_budget():
    weight = torch.tensor([[5.0, 5.0, 0.0], [0.1, 0.1, 0.0], [5.0, 5.0, 0.0], [0.1, 0.1, 0.0]])
    gradient = torch.tensor([[0.0, 0.0, 1.0]] * 4)
    # salient: 3, 1, 3, 1 of a fan-in of 2, but two neurons of three weights cannot hold eight
    update = fan_in_update(weight, weight != 0, gradient, 4, budget=8, gamma=1.0)
    assert update.neurons.tolist() == [True, True, True, False]
    assert fan_in(update.mask).tolist() == [3, 3, 3, 0]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("network", "shape"), [(mlp, (12,)), (convnet, (2, 6, 6))])
def test_every_neuron_has_the_fan_in_of_its_layer_or_nothing(network, shape, packed):
    model = network()
    _, optimizer, sparsifier = attached(SRigL(0.8, 40, every=2, alpha=0.9, gamma=0.9, packed=packed), model=model)
    start = sparsifier.masks
    last = list(start)[-1]
    ablated = {name: torch.zeros(len(mask), dtype=torch.bool) for name, mask in start.items()}

    def check(step):
        state = model.state_dict()
        for name, mask in sparsifier.masks.items():
            counts = fan_in(mask)
            gone = counts == 0
            assert len(counts[~gone].unique()) == 1
            assert bool(gone[ablated[name]].all())
            budget, left = sparsifier._budgets[name], int((~gone).sum())
            assert 0 <= int(counts.sum()) - budget < left
            ablated[name] = gone
            assert not state[f"{name}.weight"][~mask].any()

    check(0)
    train(model, optimizer, range(40), shape, after=check)
    assert not ablated[last].any()
    assert sum(int(gone.sum()) for gone in ablated.values()) > 0
    assert all(int(gone.sum()) == row["no_fan_in"] for gone, row in zip(
        ablated.values(), sparsifier.events[-1]["layers"].values(), strict=True
    ))  # fmt: skip


def test_without_ablation_every_neuron_keeps_its_fan_in():
    model, optimizer, sparsifier = attached(SRigL(0.8, 40, every=2, alpha=0.9, gamma=0.0))
    start = {name: fan_in(mask) for name, mask in sparsifier.masks.items()}
    train(model, optimizer, range(40))
    assert all(torch.equal(fan_in(mask), start[name]) for name, mask in sparsifier.masks.items())
    assert sparsifier.events[-1]["iou"] < 1.0


def test_the_choice_of_layers_that_keep_their_neurons():
    for kept in ([], ["0", "3", "5"]):
        model, optimizer, sparsifier = attached(SRigL(0.8, 40, every=2, alpha=0.9, gamma=1.0, keep_neurons=kept))
        train(model, optimizer, range(40))
        gone = {name: int((fan_in(mask) == 0).sum()) for name, mask in sparsifier.masks.items()}
        assert (sum(gone.values()) == 0) == bool(kept)
    with pytest.raises(UsageError, match=r"keep_neurons names \['stem'\]"):
        attached(SRigL(0.8, 40, keep_neurons=["stem"]))


def test_dense_layers_stay_dense():
    model, optimizer, sparsifier = attached(SRigL(0.8, 40, every=2, distribution=Uniform(first_dense=True)))
    train(model, optimizer, range(12))
    assert sparsifier.masks["0"].all()
    assert len(sparsifier.events) > 3


def test_choices_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="gamma"):
        SRigL(0.8, 40, gamma=-0.1)
    with pytest.raises(UsageError, match="constant fan-in"):
        SRigL(0.8, 40, from_zeros=True)
    with pytest.raises(UsageError, match="moves single weights"):
        SRigL(0.75, 40, pattern=NM(1, 4), distribution=Uniform())
    with pytest.raises(UsageError, match="use SRigL"):
        RigL(0.8, 40, pattern=SRigL(0.8, 40).pattern)
    assert isinstance(SRigL(0.8, 40).distribution, ERK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 4}, "cannot exchange 4 of 3"),
        ({"gamma": 1.5}, "gamma=1.5"),
        ({"budget": 0}, "a budget of 0"),
        ({"budget": 9}, "a budget of 9"),
        ({"growth_score": torch.zeros(3, 2)}, "must have one shape"),
        ({"growth_score": torch.full((2, 4), torch.nan)}, "NaN"),
    ],
)
def test_an_update_that_cannot_be_is_refused(change, message):
    mask = torch.tensor([[True, True, False, False], [False, False, False, True]])
    arguments = {"weight": mask.float(), "mask": mask, "growth_score": torch.zeros(2, 4), "count": 1, "budget": 3}
    with pytest.raises(UsageError, match=message):
        fan_in_update(**{**arguments, **change})
