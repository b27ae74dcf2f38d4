"""Scores at initialisation, and iterative synaptic flow."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import (
    grasp_score,
    magnitude_score,
    random_score,
    snip_score,
    synflow_masks,
    synflow_score,
    top_k_mask,
    top_k_masks_global,
)


class TinyNet:
    """The two-layer network of the golden values, with its weights as one flat vector."""

    def __init__(self, golden):
        self.weights = [torch.tensor(golden[key], dtype=torch.float64).requires_grad_() for key in ("W1", "W2")]
        self.x = torch.tensor(golden["x"], dtype=torch.float64)
        self.y = torch.tensor(golden["y"])

    def gradient(self, temperature=1.0):
        hidden = torch.relu(self.x @ self.weights[0].T)
        log_p = torch.log_softmax(hidden @ self.weights[1].T / temperature, dim=1)
        loss = -log_p[torch.arange(len(self.y)), self.y].mean()
        return loss.detach(), torch.autograd.grad(loss, self.weights, create_graph=True)

    def hessian_gradient(self, temperature):
        _, gradient = self.gradient(temperature)
        dot = sum((g * g.detach()).sum() for g in gradient)
        return torch.autograd.grad(dot, self.weights)


def flat(tensors):
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


@pytest.fixture
def golden(pruning_vectors):
    return pruning_vectors["init_scores"]


def test_snip_reproduces_scores_and_mask(golden):
    net = TinyNet(golden)
    loss, gradient = net.gradient()
    assert float(loss) == pytest.approx(golden["loss"], rel=1e-11)
    assert flat(gradient).tolist() == pytest.approx(golden["grad"], rel=1e-10)
    scores = [snip_score(w, g) for w, g in zip(net.weights, gradient, strict=True)]
    assert flat(scores).tolist() == pytest.approx(golden["snip_abs_gw"], rel=1e-10)
    assert top_k_mask(flat(scores), 6).int().tolist() == golden["snip_mask_s0.5"]


@pytest.mark.parametrize("temperature", [1, 200])
def test_grasp_reproduces_scores_and_removes_the_largest(golden, temperature):
    expected = golden[f"grasp_T{temperature}"]
    net = TinyNet(golden)
    products = net.hessian_gradient(temperature)
    assert flat(products).tolist() == pytest.approx(expected["Hg"], rel=1e-7)
    scores = flat([grasp_score(w, hg) for w, hg in zip(net.weights, products, strict=True)])
    assert (-scores).tolist() == pytest.approx(expected["score_minus_w_Hg"], rel=1e-7)
    assert top_k_mask(scores, 6).int().tolist() == expected["mask_s0.5_remove_largest"]


def test_synflow_scores_sum_to_the_flow_in_each_layer(golden):
    expected = golden["synflow"]
    live = [w.detach().abs().requires_grad_() for w in TinyNet(golden).weights]
    flow = (torch.ones(1, 2, dtype=torch.float64) @ live[0].T @ live[1].T).sum()
    assert float(flow.detach()) == pytest.approx(expected["R"], rel=1e-14)
    scores = [synflow_score(w, g) for w, g in zip(live, torch.autograd.grad(flow, live), strict=True)]
    assert flat(scores).tolist() == pytest.approx(expected["score"], rel=1e-12)
    assert expected["sum_per_layer_equals_R"]
    assert [float(s.sum()) for s in scores] == pytest.approx([expected["R"]] * 2, rel=1e-12)
    masks = top_k_masks_global({"1": scores[0], "2": scores[1]}, 6)
    assert flat(masks.values()).int().tolist() == expected["mask_s0.5_single_round"]


def chain_flow(live):
    signal = torch.ones(4, dtype=torch.float64)
    for weight in live.values():
        signal = weight @ signal
    return signal.sum()


@pytest.fixture
def chain(pruning_vectors):
    weights = pruning_vectors["synflow_iterative"]["weights"]
    return {str(i): torch.tensor(weight, dtype=torch.float64) for i, weight in enumerate(weights)}


def test_a_hundred_rounds_of_synflow_reproduce_the_golden_masks(pruning_vectors, chain):
    golden = pruning_vectors["synflow_iterative"]
    masks = synflow_masks(chain, chain_flow, golden["s"])
    assert [int(mask.sum()) for mask in masks.values()] == golden["rounds_100_kept_per_layer"]
    assert [mask.int().tolist() for mask in masks.values()] == golden["rounds_100_masks"]


def test_one_round_of_synflow_empties_a_layer(pruning_vectors, chain):
    golden = pruning_vectors["synflow_iterative"]
    masks = synflow_masks(chain, chain_flow, golden["s"], rounds=1)
    assert [int(mask.sum()) for mask in masks.values()] == golden["rounds_1_kept_per_layer"]


def test_synflow_scores_before_pruning_are_the_golden_ones(pruning_vectors, chain):
    live = {name: weight.abs().requires_grad_() for name, weight in chain.items()}
    (gradient,) = torch.autograd.grad(chain_flow(live), [live["0"]])
    row = synflow_score(live["0"], gradient)[0].tolist()
    assert row == pytest.approx(pruning_vectors["synflow_iterative"]["scores_before_pruning_layer0_row0"], abs=5e-7)


def test_synflow_without_a_round_is_refused(chain):
    with pytest.raises(UsageError, match="at least one round"):
        synflow_masks(chain, chain_flow, 0.5, rounds=0)


def test_synflow_never_revives_a_weight_when_paths_die():
    # after the first cuts most scores are zero: ties must not bring dead weights back
    weights = {"a": torch.tensor([[0.0, 0.0], [0.0, 5.0]]), "b": torch.tensor([[0.0, 1.0]])}
    masks = synflow_masks(weights, lambda live: (live["b"] @ live["a"]).sum(), 0.5, rounds=5)
    assert sum(int(mask.sum()) for mask in masks.values()) == 3
    assert bool(masks["a"][1, 1])
    assert bool(masks["b"][0, 1])


def test_magnitude_ignores_the_sign():
    assert magnitude_score(torch.tensor([-2.0, -0.0, 1.0])).tolist() == [2.0, 0.0, 1.0]


def test_random_scores_repeat_with_their_generator():
    draws = [random_score(torch.zeros(3, 4), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].shape == (3, 4)
