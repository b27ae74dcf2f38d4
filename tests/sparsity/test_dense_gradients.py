"""STR, Top-KAST, SR-STE, and the masks of DPF."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import (
    NM,
    TopKastMasks,
    keep_count,
    magnitude_score,
    soft_threshold,
    soft_threshold_gradients,
    sparsity_of,
    sr_ste_gradient,
    top_k_mask,
    topkast_masks,
    topkast_penalty_gradient,
)


def vector(values):
    return torch.tensor(values, dtype=torch.float64)


def test_soft_threshold_reproduces_values_and_gradients(pruning_vectors):
    for row in pruning_vectors["str"]:
        weight, logit, upstream = vector(row["w"]), vector(row["s"]), vector(row["upstream"])
        assert float(torch.sigmoid(logit)) == pytest.approx(row["threshold"], rel=1e-10)
        thresholded = soft_threshold(weight, logit)
        assert thresholded.tolist() == pytest.approx(row["w_tilde"], rel=1e-10)
        gradients = soft_threshold_gradients(weight, logit, upstream)
        assert gradients.weight.tolist() == row["grad_w"]
        assert float(gradients.logit) == pytest.approx(row["grad_s"], rel=1e-10)
        assert 1.0 - sparsity_of({"w": thresholded != 0}) == pytest.approx(row["density"], rel=1e-11)


def test_written_out_gradients_equal_autograd():
    weight = torch.randn(40, dtype=torch.float64, requires_grad=True)
    logit = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(40, dtype=torch.float64)
    by_autograd = torch.autograd.grad(soft_threshold(weight, logit), (weight, logit), upstream)
    written_out = soft_threshold_gradients(weight, logit, upstream)
    assert torch.equal(written_out.weight, by_autograd[0])
    torch.testing.assert_close(written_out.logit, by_autograd[1], rtol=1e-13, atol=0)


def test_topkast_reproduces_masks_and_penalty(pruning_vectors):
    golden = pruning_vectors["topkast"]
    weight = vector(golden["w"])
    forward, backward = 1.0 - golden["density_forward"], 1.0 - golden["density_backward"]
    masks = topkast_masks(weight, forward, backward)
    assert masks.forward.int().tolist() == golden["A"]
    assert masks.backward.int().tolist() == golden["B"]
    gradient = topkast_penalty_gradient(weight, masks, forward, golden["lambda"])
    assert gradient.tolist() == pytest.approx(golden["regulariser_grad"], rel=1e-12)


def test_topkast_masks_nest_even_when_all_weights_tie():
    masks = topkast_masks(torch.ones(10), 0.8, 0.5)
    assert isinstance(masks, TopKastMasks)
    assert bool((masks.backward | ~masks.forward).all())


def test_topkast_refuses_a_gradient_mask_smaller_than_the_forward_mask():
    with pytest.raises(UsageError, match="must contain"):
        topkast_masks(torch.ones(10), 0.5, 0.8)


def test_sr_ste_reproduces_the_golden_gradient(pruning_vectors):
    golden = pruning_vectors["sr_ste"]
    weight, upstream = vector(golden["w"]), vector(golden["upstream"])
    mask = NM(golden["N"], golden["M"]).select(weight.abs()[None, :])[0]
    assert mask.int().tolist() == golden["mask"]
    gradient = sr_ste_gradient(upstream, weight, mask, golden["lambda"])
    assert gradient.tolist() == pytest.approx(golden["grad_to_dense_w"], rel=1e-12)


def test_sr_ste_without_strength_is_straight_through():
    upstream = torch.randn(6)
    assert torch.equal(sr_ste_gradient(upstream, torch.randn(6), torch.zeros(6, dtype=torch.bool), 0.0), upstream)


@pytest.mark.parametrize("every", [1, 2])
def test_dpf_masks_and_weights_follow_the_golden_trace(pruning_vectors, every):
    golden = pruning_vectors["dpf_micro_trace"]
    a, b, weight = vector(golden["a"]), vector(golden["b"]), vector(golden["w0"])
    for row in golden[f"mask_every_{every}"]:
        if row["step"] % every == 0:
            mask = top_k_mask(magnitude_score(weight), keep_count(weight.numel(), golden["sparsity"]))
        upstream = a * (mask * weight - b)
        weight = weight - 0.1 * sr_ste_gradient(upstream, weight, mask, 0.0)
        assert mask.int().tolist() == row["mask"]
        assert weight.tolist() == pytest.approx(row["w_dense"], rel=1e-12)
