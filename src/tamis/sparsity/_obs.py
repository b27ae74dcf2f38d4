"""Optimal brain surgeon: saliency and weight updates from the empirical Fisher matrix.

Hassibi and Stork (1992); Singh and Alistarh, "WoodFisher" (NeurIPS 2020); Frantar et al., "M-FAC" (NeurIPS 2021);
Kuznedelev et al., "CAP" (NeurIPS 2023).  Everything works on one diagonal block: ``d`` consecutive weights of a
flattened layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError


def fisher_rank_one_update(inverse: Tensor, gradient: Tensor, samples: int) -> Tensor:
    """One Sherman-Morrison step: ``H - (H g)(H g)^T / (m + g^T H g)`` as a new (d, d) tensor.

    The recursion of WoodFisher (Singh and Alistarh, NeurIPS 2020).

    Args:
        inverse: (d, d) inverse before the step.
        gradient: (d,) gradient of one sample (or of one averaged batch).
        samples: ``m``, how many gradients the whole estimate uses.
    """
    projected = inverse @ gradient
    return inverse - torch.outer(projected, projected) / (samples + gradient @ projected)


def fisher_inverse(gradients: Tensor, damping: float, block: int | None = None) -> Tensor:
    """Inverse of ``damping * I + (1/m) * sum(g g^T)`` in diagonal blocks, by ``m`` rank-one updates.

    All ``m`` gradients enter (a published accumulation loses the last one).

    Args:
        gradients: (m, d) one gradient per row.
        damping: lambda > 0.
        block: block length B that divides ``d``; ``None`` is one block of length d.

    Returns:
        (d / B, B, B) inverses of the blocks, in the dtype of the gradients.

    Raises:
        UsageError: the damping is not positive, there is no gradient, or B does not divide d.
    """
    if gradients.dim() != 2 or gradients.numel() == 0:
        raise UsageError(f"expected gradients of shape (m, d), not empty; got {tuple(gradients.shape)}")
    samples, d = gradients.shape
    size = d if block is None else block
    if damping <= 0.0 or size < 1 or d % size:
        raise UsageError(f"expected damping > 0 and a block length that divides {d}; got {damping!r} and {block!r}")
    blocks = []
    for start in range(0, d, size):
        inverse = torch.eye(size, dtype=gradients.dtype, device=gradients.device) / damping
        for gradient in gradients[:, start : start + size]:
            inverse = fisher_rank_one_update(inverse, gradient, samples)
        blocks.append(inverse)
    return torch.stack(blocks)


def obs_saliency(weight: Tensor, inverse: Tensor) -> Tensor:
    """Loss increase of removing each weight alone, ``w_q^2 / (2 H_qq)``; ``H`` is the inverse (d, d), result (d,)."""
    return weight.square() / (2.0 * inverse.diagonal())


def diagonal_saliency(weight: Tensor, curvature: Tensor) -> Tensor:
    """The same if all weights but one stay put, ``w_q^2 * F_qq / 2`` (optimal brain damage, LeCun et al., 1990).

    ``curvature`` is the diagonal (d,) of the Fisher matrix itself, not of its inverse.
    """
    return weight.square() * curvature / 2.0


def obs_independent_update(weight: Tensor, inverse: Tensor, pruned: Tensor) -> Tensor:
    """Weights after removing a set, each with its own compensation, summed: WoodFisher's rule.

    ``w - sum over pruned q of (w_q / H_qq) * H[:, q]``, then exact zeros at the pruned ones.  Not the joint optimum
    (:func:`obs_joint_update`), but needs no solve.

    Args:
        weight: (d,).
        inverse: (d, d) inverse Fisher matrix.
        pruned: bool (d,), True where a weight is removed.
    """
    factors = torch.where(pruned, weight / inverse.diagonal(), torch.zeros_like(weight))
    return (weight - inverse @ factors).masked_fill(pruned, 0.0)


def obs_joint_update(weight: Tensor, inverse: Tensor, pruned: Tensor) -> Tensor:
    """Weights after removing a set with the optimal joint compensation: ``w - H[:, Q] (H[Q, Q])^-1 w_Q``.

    Arguments and their shapes as for :func:`obs_independent_update`.
    """
    if not bool(pruned.any()):
        return weight.clone()
    columns = inverse[:, pruned]
    return (weight - columns @ torch.linalg.solve(columns[pruned], weight[pruned])).masked_fill(pruned, 0.0)


def quadratic_loss_increase(change: Tensor, fisher: Tensor) -> Tensor:
    """``change^T F change / 2`` for a change of weights (d,) and the damped Fisher matrix (d, d); a scalar."""
    return change @ fisher @ change / 2.0


@dataclass(frozen=True)
class Elimination:
    """One step of the greedy elimination.

    Attributes:
        index: the weight that was removed.
        loss_increase: its saliency at that moment; the sum over steps is the increase of the loss.
        weight: (d,) weights afterwards, compensated.
    """

    index: int
    loss_increase: float
    weight: Tensor


def greedy_elimination(weight: Tensor, inverse: Tensor, count: int) -> list[Elimination]:
    """Remove the ``count`` least salient weights one after the other, compensating after each (CAP; ExactOBS).

    After each removal the inverse is downdated, ``H - H[:, q] H[q, :] / H_qq``, so later saliencies see the earlier
    removals.  Ties go to the lower index.

    Args:
        weight: (d,).
        inverse: (d, d) inverse Fisher matrix.
        count: weights to remove, from 0 to d.

    Raises:
        UsageError: ``count`` is out of range.
    """
    if not 0 <= count <= weight.numel():
        raise UsageError(f"cannot remove {count} of {weight.numel()} weights")
    current, downdated, steps = weight.detach().clone(), inverse.detach().clone(), []
    gone = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
    for _ in range(count):
        diagonal = downdated.diagonal().masked_fill(gone, 1.0)
        saliency = (current.square() / (2.0 * diagonal)).masked_fill(gone, torch.inf)
        index = int(saliency.argmin())
        column = downdated[:, index] / downdated[index, index]
        current = (current - column * current[index]).masked_fill(gone, 0.0)
        current[index] = 0.0
        downdated = downdated - torch.outer(column, downdated[index])
        gone[index] = True
        steps.append(Elimination(index, float(saliency[index]), current.clone()))
    return steps
