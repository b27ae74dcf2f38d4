"""WoodFisher, M-FAC, oBERT and CAP against the slow formulas of one block."""

from __future__ import annotations

import pytest
import torch
from fisher_runs import ALL, LAYERS, SMALL, pruned
from method_runs import examples, mlp
from torch.nn import functional as F

from tamis.methods import CAP, MFAC, OBERT, WoodFisher
from tamis.sparsity import (
    Block,
    fisher_inverse,
    greedy_elimination,
    obs_independent_update,
    obs_joint_update,
    obs_saliency,
    quadratic_loss_increase,
    select_masks,
)


def gradients_of(model, count, masks=None):
    """One gradient per sample of each layer, (count, n), float64."""
    inputs, targets = (torch.cat(parts) for parts in zip(*examples().batches(), strict=True))
    model.eval()
    weights = [model.get_submodule(name).weight for name in LAYERS]
    rows = []
    for i in range(count):
        loss = F.cross_entropy(model(inputs[i : i + 1]), targets[i : i + 1])
        rows.append([g.flatten().double() for g in torch.autograd.grad(loss, weights)])
    stacked = {name: torch.stack([row[i] for row in rows]) for i, name in enumerate(LAYERS)}
    return {name: g * masks[name].flatten() for name, g in stacked.items()} if masks else stacked


def blocks_of(length, block):
    return [slice(start, min(start + block, length)) for start in range(0, length, block)]


def reference(model, sparsity, block, update, score):
    """Masks and weights by the one-block formulas, block by block; the last block of a layer is shorter."""
    gradients = gradients_of(model, SMALL["gradients"])
    weights = {name: model.get_submodule(name).weight.detach().double() for name in LAYERS}
    inverses = {
        name: [fisher_inverse(g[:, part], SMALL["damping"])[0] for part in blocks_of(g.shape[1], block)]
        for name, g in gradients.items()
    }
    scores, after = {}, {}
    for name, weight in weights.items():
        parts = blocks_of(weight.numel(), block)
        pieces = [score(weight.flatten()[p], h) for p, h in zip(parts, inverses[name], strict=True)]
        scores[name] = torch.cat(pieces).reshape(weight.shape)
    masks = select_masks(scores, sparsity)
    for name, weight in weights.items():
        parts, gone = blocks_of(weight.numel(), block), ~masks[name].flatten()
        pieces = [update(weight.flatten()[p], h, gone[p]) for p, h in zip(parts, inverses[name], strict=True)]
        after[name] = torch.cat(pieces).reshape(weight.shape)
    return masks, after


def cumulative(weight, inverse):
    losses, total = torch.zeros_like(weight), 0.0
    for step in greedy_elimination(weight, inverse, len(weight)):
        total += step.loss_increase
        losses[step.index] = total
    return losses


@pytest.mark.parametrize(
    ("method", "options", "update", "score"),
    [
        (WoodFisher, {"block": 10}, obs_independent_update, obs_saliency),  # matrices: m >= B
        (WoodFisher, {"block": 60}, obs_independent_update, obs_saliency),  # gradients: m < B
        (MFAC, {"block": 10}, obs_independent_update, obs_saliency),
        (OBERT, {"block": 17}, obs_independent_update, obs_saliency),
        (CAP, {"block": 30}, obs_joint_update, cumulative),
        (CAP, {"block": 30, "update": "independent"}, obs_independent_update, obs_saliency),
    ],
)
def test_masks_and_weights_are_those_of_the_reference(method, options, update, score):
    model = mlp()
    masks, after = reference(mlp(), 0.6, options["block"], update, score)
    sparsifier, _ = pruned(method, model, **options)
    for name in LAYERS:
        assert torch.equal(sparsifier.masks[name], masks[name])
        torch.testing.assert_close(model.get_submodule(name).weight.detach(), after[name].float(), rtol=2e-4, atol=2e-5)


def test_one_full_block_knows_the_correlations_between_layers():
    model, dense = mlp(), mlp()
    gradients = torch.cat(list(gradients_of(mlp(), 24).values()), dim=1)
    weight = torch.cat([dense.get_submodule(n).weight.detach().flatten() for n in LAYERS]).double()
    inverse = fisher_inverse(gradients, 1e-4)[0]
    sparsifier, _ = pruned(MFAC, model, block="full")
    gone = ~torch.cat([sparsifier.masks[n].flatten() for n in LAYERS])
    expected = obs_independent_update(weight, inverse, gone)
    found = torch.cat([model.get_submodule(n).weight.detach().flatten() for n in LAYERS]).double()
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
def test_little_memory_gives_the_same_weights_in_several_passes(method, monkeypatch):
    monkeypatch.setattr(
        "tamis.methods._fisher_pruning.block_groups",
        lambda layout, *unused: [(i, min(i + 4, layout.blocks)) for i in range(0, layout.blocks, 4)],
    )
    model, whole = mlp(), mlp()
    few, _ = pruned(method, model, block=50)
    monkeypatch.undo()
    all_at_once, _ = pruned(method, whole, block=50)
    for name in LAYERS:
        assert torch.equal(few.masks[name], all_at_once.masks[name])
        ours, theirs = (net.get_submodule(name).weight.detach() for net in (model, whole))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_groups_of_four_live_or_die_together_by_their_joint_saliency():
    model = mlp()
    gradients = gradients_of(mlp(), 24)
    weights = {n: model.get_submodule(n).weight.detach().double().clone() for n in LAYERS}
    scores = {}
    for name, weight in weights.items():
        score = torch.empty(weight.numel(), dtype=torch.float64)
        for part in blocks_of(weight.numel(), 16):
            inverse = fisher_inverse(gradients[name][:, part], 1e-4)[0]
            for four in blocks_of(16, 4):
                w = weight.flatten()[part][four]
                score[part.start + four.start : part.start + four.stop] = w @ torch.linalg.inv(inverse[four, four]) @ w
        scores[name] = score.reshape(weight.shape)
    expected = select_masks(scores, 0.5, pattern=Block(1, 4))
    sparsifier, _ = pruned(OBERT, model, 0.5, block=16, pattern=Block(1, 4))
    for name in LAYERS:
        assert torch.equal(sparsifier.masks[name], expected[name])
        assert set(sparsifier.masks[name].reshape(-1, 4).sum(dim=1).tolist()) <= {0, 4}


def test_the_joint_update_costs_less_in_the_quadratic_model_than_zeroing_or_summed_updates():
    costs = {}
    gradients, before = gradients_of(mlp(), 24), mlp()
    for name, options in {"joint": {}, "summed": {"update": "independent"}}.items():
        model = mlp()
        sparsifier, _ = pruned(CAP, model, 0.6, block=48, **options)
        costs[name] = costs[f"{name}, zeroed"] = 0.0
        for layer in LAYERS:
            old, new = (net.get_submodule(layer).weight.detach().double().flatten() for net in (before, model))
            zeroed = old * sparsifier.masks[layer].flatten()
            for part in blocks_of(old.numel(), 48):
                g = gradients[layer][:, part]
                fisher = 1e-4 * torch.eye(g.shape[1], dtype=torch.float64) + g.T @ g / len(g)
                costs[name] += float(quadratic_loss_increase((new - old)[part], fisher))
                costs[f"{name}, zeroed"] += float(quadratic_loss_increase((zeroed - old)[part], fisher))
    assert costs["joint"] < costs["joint, zeroed"]
    assert costs["joint"] < costs["summed"]
