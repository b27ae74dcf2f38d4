"""Dynamic sparse training: drop some live weights, grow as many others, keep the count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._selection import top_k_mask


@dataclass(frozen=True)
class MaskUpdate:
    """The outcome of one drop-and-grow update of a layer; all bool tensors of the weight's shape.

    Attributes:
        mask: the new mask, with as many live weights as the old one.
        dropped: live before and chosen to drop (perhaps regrown at once).
        grown: chosen to grow (perhaps dropped a moment before).
    """

    mask: Tensor
    dropped: Tensor
    grown: Tensor


def drop_and_grow(weight: Tensor, mask: Tensor, growth_score: Tensor, count: int) -> MaskUpdate:
    """Exchange ``count`` weights: drop the smallest magnitudes among the live, grow the best among the dead.

    Just-dropped weights are candidates for growth, as in the published code.  Only live weights are candidates for
    dropping (published noise on the scores also lands on dead ones; there is none here).  Evci et al., "Rigging the
    Lottery" (ICML 2020), algorithm 1; with random growth scores, SET (Mocanu et al., 2018).

    Args:
        weight: weights, zero where the mask is False.
        mask: bool tensor of the weight's shape.
        growth_score: same shape; ``|dense gradient|`` for RigL, random for SET.
        count: weights to exchange, from 0 to the number of live ones.

    Returns:
        The new mask and what changed; ties are decided towards keeping and growing the lower flat index.

    Raises:
        UsageError: shapes differ, ``count`` is out of range, or a score is NaN.
    """
    if weight.shape != mask.shape or growth_score.shape != mask.shape:
        raise UsageError(
            f"weight, mask and growth score must have one shape; got {tuple(weight.shape)}, {tuple(mask.shape)} and "
            f"{tuple(growth_score.shape)}"
        )
    live = int(torch.count_nonzero(mask))
    if not 0 <= count <= live:
        raise UsageError(f"cannot drop {count} of {live} live weights")
    kept = best_among(weight.detach().abs(), mask, live - count)
    grown = best_among(growth_score, ~kept, count)
    return MaskUpdate(mask=kept | grown, dropped=mask & ~kept, grown=grown)


def best_among(scores: Tensor, candidates: Tensor, k: int) -> Tensor:
    """Mask of the ``k`` best scores among the candidates (bool, of the scores' shape); no other score is looked at."""
    chosen = torch.zeros(candidates.shape, dtype=torch.bool, device=candidates.device)
    chosen[candidates] = top_k_mask(scores.detach()[candidates], k)
    return chosen


def carry_over(values: Tensor, old_mask: Tensor, new_mask: Tensor) -> Tensor:
    """Weights or per-weight optimizer state after a change of mask, as a new tensor.

    Values that live on both sides are kept (also of a weight that was dropped and regrown at once); newly live and no
    longer live ones are exactly 0.

    Args:
        values: tensor of the mask's shape.
        old_mask: bool mask before the change.
        new_mask: bool mask after the change.
    """
    return values.detach().masked_fill(~(old_mask & new_mask), 0.0)


def update_interval(batch_size: int, samples_per_update: int = 409_600) -> int:
    """Steps between two updates at which as many samples lie between them as in the published runs.

    RigL updates every 100 steps of 4096 samples; SRigL's code every 800 steps of 512.

    Args:
        batch_size: samples per optimizer step, at least 1.
        samples_per_update: samples between two updates, at least 1.

    Raises:
        UsageError: a number is below 1.

    >>> update_interval(4096), update_interval(512)
    (100, 800)
    """
    if batch_size < 1 or samples_per_update < 1:
        raise UsageError(f"expected at least one sample; got batch_size={batch_size}, per update {samples_per_update}")
    return max(1, round(samples_per_update / batch_size))
