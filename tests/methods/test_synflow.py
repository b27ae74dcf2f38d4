"""SynFlow: the vectors, and what it takes."""

from __future__ import annotations

import copy

import pytest
import torch
from at_init_runs import METHODS, flat, vector_net
from method_runs import attached, convnet
from torch import nn

from tamis.errors import CollapseError, UsageError
from tamis.methods import SynFlow
from tamis.nn import prunable_modules
from tamis.sparsity import NM, keep_count, nested_scores, top_k_masks_global


def chain(golden):
    weights = [torch.tensor(weight) for weight in golden["weights"]]
    model = nn.Sequential(*(nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=torch.float32) for w in weights))
    with torch.no_grad():
        for layer, weight in zip(model, weights, strict=True):
            layer.weight.copy_(weight)
    return model


def test_one_round_of_synflow_keeps_the_weights_of_the_vector(pruning_vectors):
    golden = pruning_vectors["init_scores"]
    model, examples = vector_net(golden)  # the examples say the shape; their values are not looked at
    _, _, sparsifier = attached(SynFlow(0.5, rounds=1, examples=examples, packed=False), model=model)
    assert flat(sparsifier.masks.values()).int().tolist() == golden["synflow"]["mask_s0.5_single_round"]


def test_a_hundred_rounds_of_synflow_keep_the_masks_of_the_vector_and_one_round_empties_a_layer(pruning_vectors):
    golden = pruning_vectors["synflow_iterative"]
    shape = (len(golden["weights"][0][0]),)
    _, _, sparsifier = attached(SynFlow(golden["s"], input_shape=shape, on_collapse="warn"), model=chain(golden))
    assert [mask.int().tolist() for mask in sparsifier.masks.values()] == golden["rounds_100_masks"]
    with pytest.raises(CollapseError, match="no weight survives in 1"):
        attached(SynFlow(golden["s"], input_shape=shape, rounds=1), model=chain(golden))


def test_synflow_refuses_patterns_with_one_sparsity_only_and_the_others_take_them():
    with pytest.raises(UsageError, match="fixes the sparsity"):
        SynFlow(0.5, pattern=NM(2, 4))
    for method in ("snip", "grasp"):
        _, _, sparsifier = attached(METHODS[method](0.5, pattern=NM(2, 4), packed=False))
        assert all((mask.reshape(-1, 4).sum(dim=1) == 2).all() for mask in sparsifier.masks.values())


def test_synflow_on_convolutions_ranks_by_the_flow_of_absolute_values():
    model = convnet()
    twin = copy.deepcopy(model).double().eval()
    weights = {name: layer.weight for name, layer in prunable_modules(twin).items()}
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.abs_()
    full = {name: torch.ones_like(weight) > 0 for name, weight in weights.items()}
    total, masks = sum(weight.numel() for weight in weights.values()), full
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    for k in range(1, 5):
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(start[name] * masks[name])
        twin.zero_grad()
        twin(torch.ones(1, 2, 6, 6, dtype=torch.float64)).sum().backward()
        scores = {name: (weight * weight.grad).detach().abs() for name, weight in weights.items()}
        kept = keep_count(total, 0.8 if k == 4 else 1 - 0.2 ** (k / 4))
        masks = top_k_masks_global(nested_scores(scores, masks), kept)
    _, _, sparsifier = attached(SynFlow(0.8, rounds=4, input_shape=(2, 6, 6), packed=False), model=model)
    assert all(torch.equal(sparsifier.masks[name], mask) for name, mask in masks.items())
