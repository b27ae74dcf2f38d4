"""Drop and grow under a constant fan-in, with ablation of neurons that have become unimportant (SRigL)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import ROUNDING_GUARD
from tamis.sparsity._drop_grow import best_among
from tamis.sparsity._patterns import best_of_rows
from tamis.sparsity._selection import flat_scores, flat_top_k


@dataclass(frozen=True)
class FanInUpdate:
    """The outcome of one update of a layer.

    Attributes:
        mask: bool tensor of the weight's shape; every row has ``fan_in`` live weights or none.
        fan_in: live weights of every neuron that is left.
        neurons: bool tensor (out,), True for the neurons that are left.
    """

    mask: Tensor
    fan_in: int
    neurons: Tensor


def fan_in_update(
    weight: Tensor, mask: Tensor, growth_score: Tensor, count: int, budget: int, gamma: float = 0.3
) -> FanInUpdate:
    """One update of SRigL: ``count`` weights move, neurons with few salient weights go, fan-in stays constant.

    Lasby, Golubeva, Evci, Nica, Ioannou, "Dynamic Sparse Training with Structured Sparsity" (ICLR 2024), section 3.1:

    1. The ``count`` smallest magnitudes of the whole layer are dropped; those that are left, and the ``count`` best
       growth scores among all other weights, are *salient*.
    2. A neuron with fewer than ``gamma * fan_in`` salient weights is ablated: it loses all its weights for good.
    3. The fan-in becomes ``ceil(budget / neurons left)``.
    4. Each neuron keeps what was not dropped, the largest magnitudes first if that is too much, and grows by score
       until it has the fan-in; just-dropped weights may grow.

    At least ``ceil(budget / row length)`` neurons are left, those with most salient weights, so that the budget can
    always be held.

    Args:
        weight: shape (out, in, kernel...), zero where the mask is False.
        mask: bool tensor of the same shape; rows without a live weight are ablated neurons and stay so.
        growth_score: same shape; ``|dense gradient|``.
        count: weights to exchange, from 0 to the number of live ones.
        budget: live weights that the layer is granted; exceeded by less than one weight per neuron.
        gamma: share of the fan-in, in [0, 1]; 0 ablates nothing.

    Returns:
        The new mask; ties go to the lower flat index.

    Raises:
        UsageError: shapes differ, a number is out of range, no neuron is left, or a score is NaN.
    """
    if weight.shape != mask.shape or growth_score.shape != mask.shape or mask.dim() < 2:
        raise UsageError(
            "weight, mask and growth score must have one shape (out, in, ...); got "
            f"{tuple(weight.shape)}, {tuple(mask.shape)} and {tuple(growth_score.shape)}"
        )
    rows = mask.detach().cpu().reshape(mask.shape[0], -1)
    active, live = rows.any(dim=1), int(torch.count_nonzero(rows))
    row_length = rows.shape[1]
    if not 0 <= count <= live or not 0.0 <= gamma <= 1.0:
        raise UsageError(f"cannot exchange {count} of {live} live weights with gamma={gamma!r}")
    if not 0 < budget <= int(active.sum()) * row_length:
        raise UsageError(f"a budget of {budget} weights does not fit {int(active.sum())} neurons of {row_length}")
    magnitude = torch.from_numpy(flat_scores(weight.detach().abs())).reshape(rows.shape)
    growth = torch.from_numpy(flat_scores(growth_score.abs())).reshape(rows.shape)
    kept = best_among(magnitude, rows, live - count)
    grown = best_among(growth, ~kept & active[:, None], count)
    salient = (kept | grown).sum(dim=1)
    neurons = active & (salient >= gamma * int(rows.sum(dim=1).max()) - ROUNDING_GUARD)
    least = -(-budget // row_length)
    if int(neurons.sum()) < least:
        ranked = salient.double().masked_fill(~active, -1.0).numpy()
        neurons = torch.from_numpy(flat_top_k(ranked, least))
    fan_in = -(-budget // int(neurons.sum()))
    # Non-negative doubles sort like the integers of their bits; what is not kept sorts below everything that is.
    keys = np.where(kept.numpy(), _bits(magnitude), _bits(growth) + np.iinfo(np.int64).min)
    chosen = torch.from_numpy(best_of_rows(keys, fan_in)) & neurons[:, None]
    return FanInUpdate(chosen.reshape(mask.shape).to(mask.device), fan_in, neurons)


def _bits(values: Tensor) -> np.ndarray:
    return values.double().numpy().view(np.int64)
