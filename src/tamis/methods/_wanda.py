"""Wanda: pruning by weights and activations.

Sun, Liu, Bair, Kolter, "A Simple and Effective Pruning Approach for Large Language Models" (ICLR 2024).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tamis.methods._calibration import CalibrationPruning
from tamis.sparsity import NM, FanIn, Unstructured, row_balanced_mask, wanda_score


class Wanda(CalibrationPruning):
    """Prune the smallest ``|W_ij| * ||X_j||_2`` of each output row; the weights that stay are left as they are.

    Every row of a layer keeps equally many weights, as far as the layer's exact count allows.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        at_step: optimizer steps before the pruning; 0 prunes in :meth:`attach`.
        samples: calibration samples.
        sequential: show each layer the inputs that the pruned layers before it produce.
        from_zeros: prune inside the support that the model has then.
        **options: see :class:`~tamis.methods.CalibrationPruning`; patterns are Unstructured, NM and FanIn.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "wanda"
    _patterns = (Unstructured, NM, FanIn)

    def __init__(
        self,
        sparsity: float,
        *,
        at_step: int = 0,
        samples: int = 128,
        sequential: bool = True,
        from_zeros: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            sparsity, at_step=at_step, samples=samples, sequential=sequential, from_zeros=from_zeros, **options
        )

    def _statistic(self, columns: Tensor) -> Tensor:
        return columns.double().square().sum(dim=1)

    def _prune_rows(self, weight: Tensor, statistic: Tensor, removed: Tensor, pruned: int) -> tuple[Tensor, Tensor]:
        scores = wanda_score(weight, statistic).masked_fill(removed, -float("inf"))
        if isinstance(self.pattern, Unstructured):
            mask = row_balanced_mask(scores, weight.numel() - pruned)
        else:
            mask = self.pattern.select(scores, weight.numel() - pruned)
        mask &= ~removed
        return weight.masked_fill(~mask, 0.0), mask
