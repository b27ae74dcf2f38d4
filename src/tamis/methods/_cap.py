"""CAP: correlation-aware pruning by greedy elimination inside each block.

Kuznedelev et al., "CAP: Correlation-Aware Pruning for Highly-Accurate Sparse Vision Models" (NeurIPS 2023).
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._fisher_blocks import BlockLayout
from tamis.methods._fisher_pruning import FisherPruning
from tamis.sparsity import (
    block_elimination,
    block_fisher,
    block_independent_update,
    block_joint_update,
    block_saliency,
    explicit_inverse,
)


class CAP(FisherPruning):
    """Eliminate the weights of each block one after the other; one threshold on the cumulative loss cuts all blocks.

    After each elimination the others are compensated and the inverse is downdated.  The weights after the cut are those
    of the trace of eliminations; they are the joint optimum of the removed set, in whatever order it was removed, and
    are computed as such, so that no trace (B copies of the weights) is stored.  Published for ResNet-50-d:
    ``gradients=4096``, ``block=256``, ``damping=1e-8``, an event each 20 of 300 epochs, a cyclic learning rate, stem
    and classifier excluded.

    Args:
        sparsity: fraction of zeros after the last event, in [0, 1).
        total_steps: optimizer steps of the whole run; None prunes once, in :meth:`attach`.
        start, end, events, initial: the schedule, see :class:`~tamis.methods.FisherPruning`.
        block: B, weights per block.
        gradients: m, gradients per estimate.
        fisher_batch: samples that each gradient is the mean over.
        damping: lambda > 0.
        recomputations: cuts per event, each with a new estimate.
        update: ``"correlated"`` is CAP; ``"independent"`` ranks and updates as if each weight were removed alone.
        memory_mb: MiB for the blocks of one group.
        from_zeros: keep the zeros that the model has at :meth:`attach`.
        **options: see :class:`Sparsifier`; ``examples`` is required.  With an N:M pattern the mask keeps, of each m
            weights, those that are eliminated at the highest cumulative loss.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "cap"

    def __init__(
        self,
        sparsity: float,
        total_steps: int | None = None,
        *,
        block: int = 256,
        gradients: int = 4096,
        damping: float = 1e-8,
        update: Literal["correlated", "independent"] = "correlated",
        **options: Any,
    ) -> None:
        super().__init__(sparsity, total_steps, block=block, gradients=gradients, damping=damping, **options)
        if update not in ("correlated", "independent"):
            raise UsageError(f"update must be 'correlated' or 'independent'; got {update!r}")
        self.update = update

    def _explicit(self, layout: BlockLayout) -> bool:
        return True  # elimination and joint update work on the matrix itself

    def _curvature(self, products: Tensor | None, gradients: Tensor | None, samples: int) -> Tensor:
        assert products is not None
        return block_fisher(products, samples, self.damping)

    def _saliency(self, weight: Tensor, curvature: Tensor, live: Tensor) -> Tensor:
        if self.update == "correlated":
            return block_elimination(weight, curvature, ~live)
        return block_saliency(weight, explicit_inverse(curvature.clone()))

    def _updated(self, weight: Tensor, curvature: Tensor, pruned: Tensor) -> Tensor:
        if self.update == "correlated":
            return block_joint_update(weight, curvature, pruned)
        return block_independent_update(weight, explicit_inverse(curvature), pruned)

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "update": self.update}
