"""Optimal brain surgeon on many diagonal blocks at once: saliencies, updates and greedy elimination.

The batched forms of :func:`~tamis.sparsity.obs_saliency`, ``obs_independent_update``, ``obs_joint_update`` and
``greedy_elimination``, which state the formulas for one block and serve as their reference.  Shapes: n blocks of B
weights, float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tamis.sparsity._block_inverse import BlockInverse, explicit_inverse

# Greedy elimination visits a block B times: a few blocks at a time stay near the processor (8 MiB of float64).
_CACHED_ELEMENTS = 1 << 20


def block_saliency(weight: Tensor, inverse: BlockInverse, group: int = 1) -> Tensor:
    """Loss increase of removing each weight, or each group of consecutive weights, alone: ``w^T (H_GG)^-1 w / 2``.

    Args:
        weight: (n, B).
        inverse: of the same blocks.
        group: weights that live or die together; divides B.  1 gives ``w_q^2 / (2 H_qq)``.

    Returns:
        (n, B); the members of a group have equal values.
    """
    if group == 1:
        return weight.square() / (2.0 * inverse.diagonal())
    members = weight.reshape(len(weight), -1, group)
    solved = torch.linalg.solve(inverse.squares(group), members)
    return ((members * solved).sum(dim=2) / 2.0).repeat_interleave(group, dim=1)


def block_independent_update(weight: Tensor, inverse: BlockInverse, pruned: Tensor, group: int = 1) -> Tensor:
    """Weights after removing a set, each weight (or group) with its own compensation, summed (WoodFisher, oBERT).

    Args:
        weight: (n, B).
        inverse: of the same blocks.
        pruned: bool (n, B), True where a weight is removed; groups are removed whole.
        group: as in :func:`block_saliency`.

    Returns:
        (n, B) with exact zeros at the removed weights.
    """
    if group == 1:
        factors = weight / inverse.diagonal()
    else:
        members = weight.reshape(len(weight), -1, group)
        factors = torch.linalg.solve(inverse.squares(group), members).reshape(weight.shape)
    return (weight - inverse.product(factors.masked_fill(~pruned, 0.0))).masked_fill(pruned, 0.0)


def block_joint_update(weight: Tensor, fisher: Tensor, pruned: Tensor) -> Tensor:
    """Weights after removing a set with the optimal joint compensation.

    ``w_K + (F_KK)^-1 F_KQ w_Q`` for the kept K and the removed Q, which equals ``w - H[:, Q] (H_QQ)^-1 w_Q`` and also
    the end of any sequence of eliminations of Q, in whatever order.  It needs ``F`` itself, not its inverse.

    Args:
        weight: (n, B).
        fisher: (n, B, B), positive definite; left as it is.
        pruned: bool (n, B).

    Returns:
        (n, B) with exact zeros at the removed weights.
    """
    result = torch.empty_like(weight)
    chunk = max(1, _CACHED_ELEMENTS // fisher[:1].numel()) if fisher.numel() else 1
    parts = (tensor.split(chunk) for tensor in (result, weight, fisher, pruned))
    for out, values, matrix, removed in zip(*parts, strict=True):
        if not bool(removed.any()):
            out.copy_(values)
            continue
        kept = (~removed).to(matrix.dtype)
        wanted = torch.bmm(matrix, values.masked_fill(~removed, 0.0).unsqueeze(2)) * kept.unsqueeze(2)
        system = matrix * kept.unsqueeze(1) * kept.unsqueeze(2)
        system.diagonal(dim1=1, dim2=2).add_(removed.to(matrix.dtype))  # identity on Q: those unknowns are zero
        change = torch.cholesky_solve(wanted, torch.linalg.cholesky(system)).squeeze(2)
        out.copy_((values + change).masked_fill(removed, 0.0))
    return result


def block_elimination(weight: Tensor, fisher: Tensor, removed: Tensor) -> Tensor:
    """Remove the weights of every block one after the other, least salient first, and sum up what each removal costs.

    After each removal the others are compensated and the inverse is downdated, so that later saliencies see the earlier
    removals (CAP: Kuznedelev et al., "CAP: Correlation-Aware Pruning for Highly-Accurate Sparse Vision Models",
    NeurIPS 2023; ExactOBS).  Ties go to the lower index.

    Args:
        weight: (n, B); removed weights are zero.
        fisher: (n, B, B), positive definite; left as it is.
        removed: bool (n, B), weights that were removed before; their rows of ``fisher`` are diagonal.

    Returns:
        (n, B) increase of the block's loss up to and including the removal of each weight; -inf for weights that were
        removed before.  A threshold on these numbers cuts every block somewhere in its sequence of eliminations.
    """
    losses = torch.full_like(weight, -torch.inf)
    chunk = max(1, _CACHED_ELEMENTS // fisher[:1].numel()) if fisher.numel() else 1
    parts = (tensor.split(chunk) for tensor in (losses, weight, fisher, removed))
    for out, values, matrix, gone in zip(*parts, strict=True):
        _eliminate(out, values.clone(), explicit_inverse(matrix.clone()).inverse, gone.clone())
    return losses


def _eliminate(losses: Tensor, weight: Tensor, inverse: Tensor, gone: Tensor) -> None:
    every = torch.arange(len(weight), device=weight.device)
    diagonal = inverse.diagonal(dim1=1, dim2=2)
    total = torch.zeros(len(weight), dtype=weight.dtype, device=weight.device)
    live = (~gone).sum(dim=1)
    barrier = torch.zeros_like(weight).masked_fill_(gone, torch.inf)
    for count in range(int(live.max()) if len(live) else 0):
        saliency = weight.square().div_(2.0 * diagonal).add_(barrier)
        least = saliency.argmin(dim=1)
        busy = live > count  # blocks with fewer weights than others have finished
        total = torch.where(busy, total + saliency[every, least], total)
        losses[every[busy], least[busy]] = total[busy]
        column = inverse[every, least]
        scaled = column / column[every, least].unsqueeze(1) * busy.unsqueeze(1)
        weight.addcmul_(scaled, -weight[every, least].unsqueeze(1))
        inverse.baddbmm_(scaled.unsqueeze(2), column.unsqueeze(1), alpha=-1.0)
        barrier[every[busy], least[busy]] = torch.inf
        # the row of a removed weight is zero but for rounding; a one on the diagonal keeps the division defined
        inverse[every[busy], least[busy]] = 0.0
        inverse[every[busy], :, least[busy]] = 0.0
        diagonal[every[busy], least[busy]] = 1.0
        weight[every[busy], least[busy]] = 0.0
