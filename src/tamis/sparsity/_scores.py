"""What a weight is worth: elementwise scores, higher is kept.

All functions take and return tensors of the weight's shape and keep its dtype.  Scores of the OBS family live with
their curvature in :func:`~tamis.sparsity.obs_saliency`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import check_sparsity, keep_count
from tamis.sparsity._select_masks import nested_scores
from tamis.sparsity._selection import top_k_masks_global


def magnitude_score(weight: Tensor) -> Tensor:
    """``|w|``, of the weight's shape; -0.0 scores as 0."""
    return weight.detach().abs()


def random_score(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform random numbers in [0, 1) of the weight's shape, float32 on the CPU, reproducible from ``generator``.

    For random pruning and for the initial masks of SET and RigL.
    """
    return torch.rand(weight.shape, generator=generator)


def snip_score(weight: Tensor, gradient: Tensor) -> Tensor:
    """SNIP: ``|g * w|``, the first-order effect of a removal (Lee et al., ICLR 2019, without its norm); one shape."""
    return (gradient * weight).detach().abs()


def grasp_score(weight: Tensor, hessian_gradient: Tensor) -> Tensor:
    """GraSP: ``w * (H g)``, the negative of the published score, whose largest values are removed.

    Wang et al., "Picking Winning Tickets Before Training by Preserving Gradient Flow" (ICLR 2020).

    Args:
        weight: the weights, any shape.
        hessian_gradient: product of the loss's Hessian with its gradient, for these weights.
    """
    return (weight * hessian_gradient).detach()


def synflow_score(weight: Tensor, flow_gradient: Tensor) -> Tensor:
    """SynFlow: ``|w * dR/dw|`` for the flow R (Tanaka et al., NeurIPS 2020), one shape; see :func:`synflow_masks`."""
    return (weight * flow_gradient).detach().abs()


def synflow_masks(
    weights: Mapping[str, Tensor],
    flow: Callable[[Mapping[str, Tensor]], Tensor],
    sparsity: float,
    rounds: int = 100,
    select: Callable[[Mapping[str, Tensor], float], Mapping[str, Tensor]] | None = None,
    within: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Iterative synaptic-flow pruning: ``rounds`` cuts to the live fraction ``(1 - sparsity) ** (k / rounds)``.

    The scores are computed anew before every cut.  One round is not SynFlow and can empty layers; a hundred keep every
    layer alive (Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow",
    NeurIPS 2020).

    Args:
        weights: layer name -> weight, in registration order; computed in float64, because flows span many decades.
        flow: maps the float64 tensors ``|w| * mask`` to the scalar R, the sum of the network's outputs for an
            all-ones input with normalisation layers in evaluation mode.
        sparsity: target over all layers, in [0, 1).
        rounds: number of cuts, at least 1.
        select: maps scores and a sparsity to masks; one ranking over all layers by default, as published.
        within: bool masks outside of which no weight may live; None lets all live.

    Returns:
        Layer name -> bool mask, with the default selection ``keep_count(n, sparsity)`` True in total (fewer if
        ``within`` has fewer).

    Raises:
        UsageError: the sparsity or the number of rounds is out of range, or a score is NaN.
    """
    check_sparsity(sparsity)
    if rounds < 1:
        raise UsageError(f"SynFlow needs at least one round; got {rounds}")
    choose = _global_masks if select is None else select
    magnitudes = {name: weight.detach().abs().double() for name, weight in weights.items()}
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    masks |= within or {}
    for k in range(1, rounds + 1):
        live = {name: (magnitudes[name] * masks[name]).requires_grad_() for name in weights}
        found = torch.autograd.grad(flow(live), list(live.values()), allow_unused=True)
        gradients = {
            name: torch.zeros_like(live[name]) if g is None else g for name, g in zip(live, found, strict=True)
        }
        scores = {name: synflow_score(live[name], gradient) for name, gradient in gradients.items()}
        reached = sparsity if k == rounds else 1.0 - (1.0 - sparsity) ** (k / rounds)
        chosen = choose(nested_scores(scores, masks), reached)
        masks = {name: mask & masks[name] for name, mask in chosen.items()}
    return masks


def _global_masks(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    total = sum(tensor.numel() for tensor in scores.values())
    return top_k_masks_global(scores, keep_count(total, sparsity))
