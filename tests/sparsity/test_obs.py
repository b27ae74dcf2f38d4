"""Optimal brain surgeon: inverse Fisher, saliencies, updates."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import (
    diagonal_saliency,
    fisher_inverse,
    fisher_rank_one_update,
    greedy_elimination,
    obs_independent_update,
    obs_joint_update,
    obs_saliency,
    quadratic_loss_increase,
)

REL = 1e-10


def matrix(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def golden(pruning_vectors):
    return pruning_vectors["obs"]


@pytest.fixture
def weight(golden):
    return matrix(golden["w"])


@pytest.fixture
def gradients(golden):
    return matrix(golden["grads_rows"])


@pytest.fixture
def fisher(golden, gradients):
    return golden["lambda"] * torch.eye(4, dtype=torch.float64) + gradients.T @ gradients / golden["m"]


@pytest.fixture
def inverse(golden, gradients):
    return fisher_inverse(gradients, golden["lambda"])[0]


def close(ours, expected, rel=REL):
    assert ours.reshape(-1).tolist() == pytest.approx(matrix(expected).reshape(-1).tolist(), rel=rel, abs=1e-13)


def test_each_rank_one_update_reproduces_the_golden_inverse(golden, gradients):
    inverse = torch.eye(4, dtype=torch.float64) / golden["lambda"]
    for gradient, expected in zip(gradients, golden["inverse_after_each_rank_one_update"], strict=True):
        inverse = fisher_rank_one_update(inverse, gradient, golden["m"])
        close(inverse, expected)
    close(inverse, golden["inverse"])


def test_the_inverse_uses_all_gradients_and_inverts_the_fisher_matrix(golden, fisher, inverse):
    close(fisher, golden["fisher"], rel=1e-11)
    close(inverse, golden["inverse"])
    torch.testing.assert_close(inverse @ fisher, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-13)


def test_saliencies_and_orders_are_the_golden_ones(golden, weight, fisher, inverse):
    saliency = obs_saliency(weight, inverse)
    close(saliency, golden["saliency"])
    assert saliency.argsort().tolist() == golden["saliency_order"]
    assert weight.abs().argsort().tolist() == golden["magnitude_order"]
    close(diagonal_saliency(weight, fisher.diagonal()), golden["diagonal_only_saliency (w^2*F_qq/2)"])


def test_blocks_are_inverted_on_their_own(golden, weight, gradients):
    expected = golden["two_blocks_of_2"]
    blocks = fisher_inverse(gradients, golden["lambda"], block=2)
    close(blocks, expected["inverse_blocks"])
    saliency = torch.cat([obs_saliency(weight[:2], blocks[0]), obs_saliency(weight[2:], blocks[1])])
    close(saliency, expected["saliency"])


def test_pruning_one_weight_reproduces_the_golden_update(golden, weight, fisher, inverse):
    expected = golden["prune_one"]
    pruned = torch.arange(4) == expected["index"]
    for update in (obs_independent_update, obs_joint_update):
        after = update(weight, inverse, pruned)
        close(after, expected["w_after"])
        close(after - weight, expected["delta_w"])
        increase = float(quadratic_loss_increase(after - weight, fisher))
        assert increase == pytest.approx(expected["quadratic_loss_increase"], rel=REL)


def test_pruning_two_weights_jointly_beats_the_sum_of_single_updates(golden, weight, fisher, inverse):
    expected = golden["prune_two"]
    pruned = torch.zeros(4, dtype=torch.bool)
    pruned[expected["set"]] = True
    independent = obs_independent_update(weight, inverse, pruned)
    joint = obs_joint_update(weight, inverse, pruned)
    close(independent, expected["independent_updates_summed (WoodFisher rule)"])
    close(joint, expected["exact_joint"])
    losses = [float(quadratic_loss_increase(after - weight, fisher)) for after in (independent, joint)]
    assert losses == pytest.approx([expected["loss_increase_independent"], expected["loss_increase_joint"]], rel=REL)
    assert losses[1] < losses[0]


def test_greedy_elimination_reproduces_the_golden_trace(golden, weight, fisher, inverse):
    steps = greedy_elimination(weight, inverse, 3)
    for step, expected in zip(steps, golden["greedy_sequential"], strict=True):
        assert step.index == expected["pruned"]
        assert step.loss_increase == pytest.approx(expected["loss_increase"], rel=REL)
        close(step.weight, expected["w"])
    total = float(quadratic_loss_increase(steps[1].weight - weight, fisher))
    assert total == pytest.approx(steps[0].loss_increase + steps[1].loss_increase, rel=REL)


def test_greedy_elimination_can_remove_none_and_all(weight, inverse):
    assert greedy_elimination(weight, inverse, 0) == []
    steps = greedy_elimination(weight, inverse, 4)
    assert sorted(step.index for step in steps) == [0, 1, 2, 3]
    assert steps[-1].weight.tolist() == [0.0] * 4
    with pytest.raises(UsageError, match="5 of 4"):
        greedy_elimination(weight, inverse, 5)


def test_pruning_nothing_changes_nothing(weight, inverse):
    nothing = torch.zeros(4, dtype=torch.bool)
    assert torch.equal(obs_independent_update(weight, inverse, nothing), weight)
    assert torch.equal(obs_joint_update(weight, inverse, nothing), weight)


@pytest.mark.parametrize(("damping", "block"), [(0.0, None), (-1.0, None), (0.1, 3), (0.1, 0)])
def test_impossible_estimates_are_refused(gradients, damping, block):
    with pytest.raises(UsageError, match="damping > 0"):
        fisher_inverse(gradients, damping, block)


def test_an_estimate_needs_gradients():
    with pytest.raises(UsageError, match=r"shape \(m, d\)"):
        fisher_inverse(torch.zeros(0, 4), 0.1)
