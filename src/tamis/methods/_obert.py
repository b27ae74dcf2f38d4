"""oBERT: the optimal BERT surgeon, for single weights and for groups of consecutive ones.

Kurtic et al., "The Optimal BERT Surgeon: Scalable and Accurate Second-Order Pruning for Large Language Models" (EMNLP
2022).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._fisher_pruning import FisherPruning
from tamis.sparsity import Block, BlockInverse, block_independent_update, block_saliency


class OBERT(FisherPruning):
    """Prune by ``w_G^T (H_GG)^-1 w_G / 2`` of each weight, or each group G of consecutive weights of a row.

    With ``pattern=Block(1, 4)`` the groups are the published 4-blocks: their saliency and update use the inverse of
    their 4 x 4 square of H.  The updates of all pruned groups are summed.

    Args:
        sparsity: fraction of zeros after the last event, in [0, 1).
        total_steps: optimizer steps of the whole run; None prunes once, in :meth:`attach`.
        start, end, events, initial: the schedule, see :class:`~tamis.methods.FisherPruning`.
        block: B, weights per block of the Fisher matrix; a multiple of the group's length (48 for 4-blocks).
        gradients: m, gradients per estimate.
        fisher_batch: samples that each gradient is the mean over.
        damping: lambda > 0.
        recomputations: cuts per event, each with a new estimate.
        memory_mb: MiB for the blocks of one group.
        from_zeros: keep the zeros that the model has at :meth:`attach`.
        **options: see :class:`Sparsifier`; ``examples`` is required.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "obert"

    def __init__(
        self,
        sparsity: float,
        total_steps: int | None = None,
        *,
        block: int = 50,
        gradients: int = 1024,
        damping: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, total_steps, block=block, gradients=gradients, damping=damping, **options)

    @property
    def _group(self) -> int:
        return self.pattern.cols if isinstance(self.pattern, Block) else 1

    def _check_pattern(self, block: int | None) -> None:
        if not isinstance(self.pattern, Block):
            return
        if self.pattern.rows != 1:
            raise UsageError(f"OBERT groups weights of one row, Block(1, n); got {self.pattern}")
        if block is not None and block % self.pattern.cols:
            raise UsageError(
                f"block={block} cuts groups of {self.pattern.cols} weights apart; choose a multiple, such as "
                f"block={max(1, block // self.pattern.cols) * self.pattern.cols}"
            )

    def _saliency(self, weight: Tensor, curvature: BlockInverse, live: Tensor) -> Tensor:
        return block_saliency(weight, curvature, self._group)

    def _updated(self, weight: Tensor, curvature: BlockInverse, pruned: Tensor) -> Tensor:
        return block_independent_update(weight, curvature, pruned, self._group)
