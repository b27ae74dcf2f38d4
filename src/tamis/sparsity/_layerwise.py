"""Pruning one layer by the inputs that it sees: Wanda's scores and SparseGPT's column sweep.

Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (ICLR 2024); Frantar and Alistarh,
"SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot" (ICML 2023).  A weight is read as the matrix
(rows, columns): a row is everything that feeds one output, a column is one input.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._selection import flat_scores, flat_top_k, top_k_mask


def wanda_score(weight: Tensor, squared_norms: Tensor) -> Tensor:
    """``|W_ij| * ||X_j||_2``.

    Args:
        weight: (rows, columns).
        squared_norms: (columns,) sums of the squares of each input over the calibration data.
    """
    return weight.detach().abs() * squared_norms.sqrt()


def row_balanced_mask(scores: Tensor, count: int) -> Tensor:
    """The best of each row, equally many in every row as far as ``count`` allows.

    Every row keeps its best ``count // rows``; the ``count % rows`` weights that are left go to the rows whose next
    best score is highest, one each.  Ties go to the lower index.  A row with fewer weights of a score above -inf keeps
    those, and the others share what it leaves.

    Args:
        scores: floating point (rows, columns); weights of score -inf live only if nothing else is left.
        count: how many live in all, from 0 to ``scores.numel()``.

    Returns:
        Bool (rows, columns) with exactly ``count`` True.

    Raises:
        UsageError: the count is out of range or a score is NaN.

    >>> row_balanced_mask(torch.tensor([[1.0, 2.0, 3.0], [9.0, 8.0, 7.0]]), 3).tolist()
    [[False, False, True], [True, True, False]]
    """
    rows = flat_scores(scores).reshape(scores.shape)
    if not 0 <= count <= rows.size:
        raise UsageError(f"cannot keep {count} of {rows.size} weights")
    # stable on the negated scores: equal scores stay in index order
    ranks = np.argsort(np.argsort(-rows, axis=1, kind="stable"), axis=1, kind="stable")
    available = (rows > -np.inf).sum(axis=1)
    if count > available.sum():
        available = np.full_like(available, rows.shape[1])
    least = _level(available, count)
    kept = ranks < np.minimum(least, available)[:, None]
    rest = count - int(kept.sum())
    if rest:
        following = np.max(np.where((ranks == least) & (least < available)[:, None], rows, -np.inf), axis=1)
        chosen = flat_top_k(following, rest)
        kept |= (ranks == least) & chosen[:, None]
    return torch.from_numpy(kept).to(scores.device)


def _level(available: np.ndarray, count: int) -> int:
    """The largest whole number that all rows can keep, as far as they have as many, without exceeding ``count``."""
    low, high = 0, int(available.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(available, middle).sum()) <= count else (low, middle - 1)
    return low


def sparsegpt_prune(
    weight: Tensor,
    hessian: Tensor,
    pruned: int,
    *,
    damping: float = 0.01,
    block: int = 128,
    group: tuple[int, int] | None = None,
    removed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sweep the columns of a layer from left to right, prune in each, and let the later columns make up for it.

    Minimises ``||W X - W' X||`` greedily: the error of a pruned weight is passed on with the inverse of the Hessian of
    the columns not yet visited.  Updates inside a block of columns are applied at once, to the columns behind it when
    the block is done.  The mask of a block is chosen when the sweep reaches it, by ``w^2 / [H^-1]_qq`` over all its
    rows; with ``group=(n, m)``, at every m columns, n of m live in each row.

    That score counts on all later columns to stay.  In a block as wide as the layer it therefore spares the last
    columns and empties the early ones, which costs much of the advantage where inputs are correlated; give ``block`` a
    quarter of the columns or less.

    Args:
        weight: float64 (rows, columns).
        hessian: float64 (columns, columns), the sum of ``x x^T`` over the calibration data; its scale does not matter.
        pruned: weights to prune in all, those of ``removed`` included; the new ones are shared among the blocks by the
            live weights that they hold.  Not consulted with ``group``.
        damping: share of the mean of the Hessian's diagonal that is added to it, above 0.
        block: columns per block; a multiple of m with ``group``.
        group: (n, m) for N:M, whose groups are m consecutive columns.
        removed: bool (rows, columns), weights that are zero already and stay so.

    Returns:
        The new weight, with exact zeros, and the bool mask, True where a weight lives; (rows, columns) both.

    Raises:
        UsageError: the numbers do not fit each other, the Hessian is not finite, or not positive definite with damping.
    """
    rows, columns = weight.shape
    dead = torch.zeros_like(weight, dtype=torch.bool) if removed is None else removed
    wanted = pruned - int(dead.sum())
    if group is None and not 0 <= pruned <= weight.numel():
        raise UsageError(f"cannot prune {pruned} of {weight.numel()} weights")
    if damping <= 0.0 or block < 1:
        raise UsageError(f"expected damping > 0 and block >= 1; got {damping!r} and {block!r}")
    if group is not None and (columns % group[1] or block % group[1]):
        raise UsageError(f"{columns} columns in blocks of {block} cannot be cut into groups of {group[1]}")
    factor = _upper_factor(hessian, damping)
    current, mask = weight.masked_fill(dead, 0.0), ~dead
    live = int(mask.sum())
    seen = done = 0
    for first in range(0, columns, block):
        last = min(first + block, columns)
        part, alive, local = current[:, first:last], mask[:, first:last], factor[first:last, first:last]
        pivots = local.diagonal()
        if group is None:
            seen += int(alive.sum())
            share = max(0, wanted) * seen // max(1, live) - done  # cumulative, so that rounding does not add up
            done += share
            scores = (part / pivots).square().masked_fill(~alive, -torch.inf)
            alive &= top_k_mask(scores, int(alive.sum()) - share)
        errors = torch.zeros_like(part)
        for i in range(last - first):
            if group is not None and i % group[1] == 0:
                window = slice(i, i + group[1])
                scores = (part[:, window] / pivots[window]).square().masked_fill(~alive[:, window], -torch.inf)
                alive[:, window] &= row_balanced_mask(scores, rows * group[0])
            errors[:, i] = part[:, i].masked_fill(alive[:, i], 0.0) / pivots[i]
            part[:, i:].addr_(errors[:, i], local[i, i:], alpha=-1.0)
            part[:, i].masked_fill_(~alive[:, i], 0.0)
        current[:, last:].addmm_(errors, factor[first:last, last:], alpha=-1.0)
    return current.masked_fill(~mask, 0.0), mask


def _upper_factor(hessian: Tensor, damping: float) -> Tensor:
    """Upper triangular U with ``U^T U = H^-1``: row i holds the inverse of the columns from i on, scaled."""
    if not bool(torch.isfinite(hessian).all()):
        raise UsageError("the Hessian of a layer is not finite, so its inputs are not; check model and examples")
    mean = float(hessian.diagonal().mean())
    damped = hessian.clone()
    damped.diagonal().add_(damping * mean if mean > 0.0 else 1.0)  # a layer that sees zeros alone: by magnitude
    lower, failed = torch.linalg.cholesky_ex(damped)
    if bool(failed) or not bool(torch.isfinite(lower).all()):
        raise UsageError(
            f"the Hessian of a layer is finite, but not positive definite at damping={damping:g}; raise damping"
        )
    return torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
