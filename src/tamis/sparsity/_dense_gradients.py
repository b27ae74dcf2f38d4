"""Methods whose forward pass is sparse while gradients reach more weights: STR, Top-KAST, SR-STE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import check_sparsity, keep_count
from tamis.sparsity._selection import top_k_mask


def soft_threshold(weight: Tensor, logit: Tensor) -> Tensor:
    """STR: ``sign(w) * relu(|w| - sigmoid(logit))``, differentiable in both arguments.

    Kusupati et al., "Soft Threshold Weight Reparameterization for Learnable Sparsity" (ICML 2020).

    Args:
        weight: weights of a layer.
        logit: scalar tensor ``s``; one per layer, the threshold is its sigmoid.
    """
    return torch.sign(weight) * torch.relu(torch.abs(weight) - torch.sigmoid(logit))


@dataclass(frozen=True)
class SoftThresholdGradients:
    """Gradients of the soft threshold.

    Attributes:
        weight: of the weight's shape; the upstream gradient where ``|w|`` exceeds the threshold, 0 elsewhere (a weight
            that is exactly 0 never gets a gradient again).
        logit: scalar, ``-sigmoid'(logit) * sum over those weights of sign(w) * upstream``.
    """

    weight: Tensor
    logit: Tensor


def soft_threshold_gradients(weight: Tensor, logit: Tensor, upstream: Tensor) -> SoftThresholdGradients:
    """What autograd computes for :func:`soft_threshold`, written out (for fused backends and as a check).

    Args:
        weight: weights of a layer.
        logit: scalar tensor ``s``.
        upstream: gradient with respect to the thresholded weights, of the weight's shape.
    """
    threshold = torch.sigmoid(logit)
    slope = threshold * (1.0 - threshold)
    # sign(w) where |w| exceeds the threshold, else 0; products in place are much faster than torch.where
    side = torch.hardshrink(weight.detach(), float(threshold.detach())).sign_()
    return SoftThresholdGradients(logit=-slope * (upstream * side).sum(), weight=side.abs_().mul_(upstream))


@dataclass(frozen=True)
class TopKastMasks:
    """The two masks of Top-KAST, bool tensors of the weight's shape.

    Attributes:
        forward: A, the weights that the network computes with.
        backward: B, a superset of A, the weights that get gradients; the others are frozen, not zeroed.
    """

    forward: Tensor
    backward: Tensor


def topkast_masks(weight: Tensor, forward_sparsity: float, backward_sparsity: float) -> TopKastMasks:
    """The largest magnitudes at two sparsities (Jayakumar et al., "Top-KAST", NeurIPS 2020).

    Args:
        weight: weights of a layer, any shape.
        forward_sparsity: zeros in A, in [0, 1).
        backward_sparsity: zeros in B, in [0, 1), at most ``forward_sparsity``.

    Raises:
        UsageError: a sparsity is out of range, B would be smaller than A, or a weight is NaN.
    """
    check_sparsity(forward_sparsity, "forward_sparsity")
    check_sparsity(backward_sparsity, "backward_sparsity")
    if backward_sparsity > forward_sparsity:
        raise UsageError(
            "the gradient mask must contain the forward mask, so backward_sparsity must not exceed forward_sparsity; "
            f"got {backward_sparsity!r} > {forward_sparsity!r}"
        )
    magnitude, n = weight.detach().abs(), weight.numel()
    return TopKastMasks(
        forward=top_k_mask(magnitude, keep_count(n, forward_sparsity)),
        backward=top_k_mask(magnitude, keep_count(n, backward_sparsity)),
    )


def topkast_penalty_gradient(
    weight: Tensor, masks: TopKastMasks, forward_sparsity: float, strength: float = 1e-4
) -> Tensor:
    """Gradient of Top-KAST's exploration penalty ``strength / 2 * (|w_A|^2 + |w_{B without A}|^2 / D)``.

    ``D = 1 - forward_sparsity``: weights outside A must earn their place and are pulled harder towards 0.

    Args:
        weight: weights of a layer.
        masks: from :func:`topkast_masks`.
        forward_sparsity: zeros in A, in [0, 1).
        strength: lambda.

    Returns:
        Tensor of the weight's shape, 0 outside B.
    """
    fraction = 1.0 - check_sparsity(forward_sparsity, "forward_sparsity")
    pull = torch.where(masks.forward, weight, weight / fraction) * strength
    return pull.detach().masked_fill(~masks.backward, 0.0)


def sr_ste_gradient(upstream: Tensor, weight: Tensor, mask: Tensor, strength: float = 2e-4) -> Tensor:
    """SR-STE: gradient that reaches the dense weights, ``upstream + strength * (1 - mask) * weight``.

    Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch" (ICLR 2021).
    With ``strength=0`` the plain straight-through estimator.

    Args:
        upstream: gradient with respect to the masked weights, of the weight's shape.
        weight: dense weights.
        mask: bool mask of the forward pass.
        strength: lambda; pulls dead weights towards 0, so that masks settle.
    """
    return weight.detach().masked_fill(mask, 0.0).mul_(strength).add_(upstream)
