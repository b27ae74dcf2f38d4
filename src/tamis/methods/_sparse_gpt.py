"""SparseGPT: one-shot pruning with a layer-wise Hessian and a sweep over the columns.

Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot" (ICML 2023).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._calibration import CalibrationPruning
from tamis.sparsity import NM, sparsegpt_prune


class SparseGPT(CalibrationPruning):
    """Prune each layer column by column, and let the columns not yet visited make up for what goes.

    See :func:`tamis.sparsity.sparsegpt_prune`.  The Hessian of a layer holds the square of its row length in float64
    numbers: 8 MiB for 1024 inputs.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        at_step: optimizer steps before the pruning; 0 prunes in :meth:`attach`.
        samples: calibration samples.
        damping: share of the mean of the Hessian's diagonal that is added to it.
        block: columns per block, whose mask is chosen at once.
        sequential: show each layer the inputs that the pruned layers before it produce.
        from_zeros: prune inside the support that the model has then.
        **options: see :class:`~tamis.methods.CalibrationPruning`; patterns are Unstructured and NM.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "sparsegpt"

    def __init__(
        self,
        sparsity: float,
        *,
        at_step: int = 0,
        samples: int = 128,
        damping: float = 0.01,
        block: int = 128,
        sequential: bool = True,
        from_zeros: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            sparsity, at_step=at_step, samples=samples, sequential=sequential, from_zeros=from_zeros, **options
        )
        if not 0.0 < damping < float("inf") or block < 1:
            raise UsageError(f"expected damping > 0 and block >= 1; got {damping!r} and {block!r}")
        if isinstance(self.pattern, NM) and block % self.pattern.m:
            raise UsageError(f"block={block} cuts groups of {self.pattern.m} apart; choose a multiple of it")
        self.damping = float(damping)
        self.block = block

    def _statistic(self, columns: Tensor) -> Tensor:
        exact = columns.double()  # before the product: rounded to half precision it is not positive definite, or inf
        return torch.bmm(exact.transpose(1, 2), exact)

    def _ordered(self, statistic: Tensor, order: Tensor) -> Tensor:
        return statistic[order][:, order]

    def _prune_rows(self, weight: Tensor, statistic: Tensor, removed: Tensor, pruned: int) -> tuple[Tensor, Tensor]:
        group = (self.pattern.n, self.pattern.m) if isinstance(self.pattern, NM) else None
        return sparsegpt_prune(
            weight, statistic, pruned, damping=self.damping, block=self.block, group=group, removed=removed
        )

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "damping": self.damping, "block": self.block}
