"""Exact, deterministic selection of the best scores.

The rule: a higher score is kept first; among equal scores the earlier layer wins, then the lower flat index (C order).
Exactly ``k`` weights survive, with ties, zeros, infinities, ``k = 0`` and ``k = n``.  Both zeros are equal; NaN is an
error.  Everything runs in numpy on one thread, so the result cannot depend on the number of threads; introselect
(``numpy.partition``) needs linear time where ``torch.topk`` and ``torch.kthvalue`` were several times slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tamis.errors import UsageError

FlatScores = np.ndarray[Any, np.dtype[Any]]


def flat_scores(scores: Tensor, name: str | None = None) -> FlatScores:
    """The scores as a flat numpy array in C order (a view where possible: never write to it).

    Raises:
        UsageError: the scores are not floating point, or contain NaN; the message names the layer ``name``.
    """
    where = f" of layer {name!r}" if name is not None else ""
    if not scores.is_floating_point():
        raise UsageError(f"the scores{where} must be floating point; got {scores.dtype}. Convert them with .float()")
    flat = scores.detach().cpu().reshape(-1)
    if flat.dtype in (torch.bfloat16, torch.float16):  # exact, and numpy has no bfloat16
        flat = flat.float()
    # max propagates NaN and needs no temporary of the size of the scores
    if flat.numel() and bool(torch.isnan(flat.max())):
        count = int(torch.isnan(flat).sum())
        raise UsageError(
            f"{count} of {flat.numel()} scores{where} are NaN, so no ranking exists; "
            "the weights or gradients behind them have diverged: lower the learning rate or restart from a checkpoint"
        )
    return flat.numpy()


def kth_largest(flat: FlatScores, k: int) -> Any:
    """The k-th largest value, ``1 <= k <= len(flat)``; may reorder ``flat`` in place.

    Weights that are pruned already share the lowest score, and introselect is twenty times slower where most scores are
    equal: those are set aside first.
    """
    lowest = flat.min()
    above = int(np.count_nonzero(flat > lowest))
    if k > above:
        return lowest
    if 4 * above < 3 * flat.size:
        flat = flat[flat > lowest]
    position = flat.size - k
    flat.partition(position)
    return flat[position]


def _check_count(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise UsageError(f"cannot keep {k} of {n} weights: the count must be between 0 and {n}")


def flat_top_k(flat: FlatScores, k: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True at the ``k`` best positions of a flat array; ties go to the lower index."""
    _check_count(k, flat.size)
    if k == 0:
        return np.zeros(flat.size, dtype=np.bool_)
    if k == flat.size:
        return np.ones(flat.size, dtype=np.bool_)
    threshold = kth_largest(flat.copy(), k)
    kept = flat >= threshold
    surplus = int(np.count_nonzero(kept)) - k
    if surplus:  # only then do ties matter: the last ones in index order leave
        kept[np.flatnonzero(flat == threshold)[-surplus:]] = False
    return kept


def top_k_mask(scores: Tensor, k: int) -> Tensor:
    """Mask of the ``k`` highest scores of one tensor.

    Args:
        scores: floating point tensor of any shape on any device.
        k: how many to keep, from 0 to ``scores.numel()``.

    Returns:
        Bool tensor of the shape and device of ``scores`` with exactly ``k`` True; among equal scores the lower flat
        index (C order, whatever the memory format) is True first.

    Raises:
        UsageError: ``k`` is out of range, a score is NaN, or the scores are not floating point.

    >>> top_k_mask(torch.tensor([0.5, 2.0, 0.5, 0.5]), 2).tolist()
    [True, True, False, False]
    """
    kept = flat_top_k(flat_scores(scores), k)
    return torch.from_numpy(kept).reshape(scores.shape).to(scores.device)


def global_counts(layers: Sequence[FlatScores], k: int, floors: Sequence[int] | None = None) -> list[int]:
    """How many of each layer belong to the ``k`` best of all layers, each layer keeping at least its floor.

    The same as: every layer first keeps its best ``floors[l]``, and the rest of ``k`` is filled with the best of what
    remains.  Computed the other way round, because it is cheaper: cut globally, fix the layers that fell below their
    floor, cut the others again with what is left.  The threshold only rises, so each cut looks only at the survivors of
    the one before.

    Args:
        layers: flat score arrays in registration order, without NaN.
        k: how many to keep in total, from 0 to the number of scores.
        floors: least count per layer; their sum must not exceed ``k``.

    Raises:
        UsageError: ``k`` is out of range or smaller than the sum of the floors.
    """
    sizes = [flat.size for flat in layers]
    _check_count(k, sum(sizes))
    least = [0] * len(layers) if floors is None else list(floors)
    if sum(least) > k:
        raise UsageError(
            f"the floors of the layers sum to {sum(least)} weights, but only {k} of {sum(sizes)} may live: "
            "lower the floor or the sparsity"
        )
    counts = list(least)
    free = list(range(len(layers)))
    candidates = list(layers)
    budget = k
    while free and budget > 0:
        everything = np.concatenate([candidates[i] for i in free])
        if everything.size == budget:  # no cut needed: whatever is free lives
            for i in free:
                counts[i] = candidates[i].size
            return counts
        threshold = kth_largest(everything, budget)
        above = {i: int(np.count_nonzero(candidates[i] > threshold)) for i in free}
        ties_left = budget - sum(above.values())
        for i in free:  # registration order decides among equal scores of different layers
            ties = min(ties_left, int(np.count_nonzero(candidates[i] == threshold))) if ties_left else 0
            ties_left -= ties
            counts[i] = above[i] + ties
        starved = [i for i in free if counts[i] < least[i]]
        if not starved:
            return counts
        for i in starved:
            counts[i] = least[i]
            budget -= least[i]
        free = [i for i in free if i not in starved]
        for i in free:
            candidates[i] = candidates[i][candidates[i] >= threshold]
    for i in free:
        counts[i] = 0
    return counts


def top_k_masks_global(scores: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    """Masks of the ``k`` highest scores over all tensors, without any floor.

    Args:
        scores: layer name -> floating point scores of any shape.
        k: how many to keep in total.

    Returns:
        Layer name -> bool tensor of the layer's shape, ``k`` True in total; among equal scores the earlier layer wins,
        then the lower flat index.

    Raises:
        UsageError: ``k`` is out of range, a score is NaN (the layer is named), or scores are not floating point.
    """
    flats = [flat_scores(tensor, name) for name, tensor in scores.items()]
    counts = global_counts(flats, k)
    return {
        name: torch.from_numpy(flat_top_k(flat, count)).reshape(tensor.shape).to(tensor.device)
        for (name, tensor), flat, count in zip(scores.items(), flats, counts, strict=True)
    }
