"""Masks that do not look at weights: random pruning and its patterns."""

from __future__ import annotations

import pytest
import torch
from method_runs import attached, mlp, train

from tamis.methods import RandomPruning, Static
from tamis.sparsity import NM, Block, FanIn, Uniform, keep_count


@pytest.mark.parametrize("packed", [True, False])
def test_random_pruning_keeps_a_random_mask_from_its_step_on(packed):
    model, optimizer, sparsifier = attached(RandomPruning(0.8, at_step=2, seed=3, packed=packed))
    train(model, optimizer, range(2))
    masks = sparsifier.masks
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "0": keep_count(288, 0.8), "3": keep_count(384, 0.8), "5": keep_count(64, 0.8)
    }  # fmt: skip
    train(model, optimizer, range(2, 6))
    assert len(sparsifier.events) == 1
    assert all(torch.equal(mask, sparsifier.masks[name]) for name, mask in masks.items())
    _, _, other = attached(RandomPruning(0.8, seed=4))
    assert not torch.equal(other.masks["0"], masks["0"])


def test_random_pruning_of_a_sparse_model_keeps_its_zeros():
    model = mlp()
    with torch.no_grad():
        model[3].weight[:, ::2] = 0.0
    zeros = model[3].weight.detach() == 0
    _, _, sparsifier = attached(RandomPruning(0.8, from_zeros=True), model=model)
    assert not (sparsifier.masks["3"] & zeros).any()
    assert int(sparsifier.masks["3"].sum()) == keep_count(384, 0.8)


@pytest.mark.parametrize("pattern", [NM(2, 8), Block(2, 2), FanIn()])
def test_random_masks_take_every_pattern(pattern):
    _, _, sparsifier = attached(
        Static(
            0.75,
            distribution=Uniform(first_dense=True),
            pattern=NM(2, 8, skip=("0",)) if isinstance(pattern, NM) else pattern,
        )
    )
    assert int(sparsifier.masks["3"].sum()) == 96
