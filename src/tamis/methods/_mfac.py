"""M-FAC: optimal brain surgeon with an inverse Fisher matrix that is never formed.

Frantar, Kurtic, Alistarh, "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information" (NeurIPS 2021).
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._fisher_blocks import BlockLayout
from tamis.methods._fisher_pruning import FisherPruning
from tamis.sparsity import BlockInverse, block_independent_update, block_saliency


class MFAC(FisherPruning):
    """WoodFisher's rule with ``m`` numbers per weight instead of B, so that a block may be the whole network.

    Diagonal and products of the inverse come from an m x m decomposition per block, which is the paper's recursion in
    matrix form (:func:`tamis.sparsity.factored_inverse`); all m gradients enter, of which a published code loses the
    last.  Each event consists of ``recomputations`` cuts with a new estimate before each.

    Args:
        sparsity: fraction of zeros after the last event, in [0, 1).
        total_steps: optimizer steps of the whole run; None prunes once, in :meth:`attach`.
        start, end, events, initial: the schedule, see :class:`~tamis.methods.FisherPruning`.
        block: B, weights per block, or ``"full"`` for one block of all weights of all layers.
        gradients: m, gradients per estimate.
        fisher_batch: samples that each gradient is the mean over.
        damping: lambda > 0.
        recomputations: cuts per event, each with a new estimate.
        memory_mb: MiB for the blocks of one group: ``16 * m`` bytes per weight.
        from_zeros: keep the zeros that the model has at :meth:`attach`.
        **options: see :class:`Sparsifier`; ``examples`` is required.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "mfac"

    def __init__(
        self,
        sparsity: float,
        total_steps: int | None = None,
        *,
        block: int | Literal["full"] = 128,
        gradients: int = 64,
        damping: float = 1e-5,
        recomputations: int = 16,
        **options: Any,
    ) -> None:
        if isinstance(block, str) and block != "full":
            raise UsageError(f"block must be a whole number or 'full'; got {block!r}")
        super().__init__(
            sparsity,
            total_steps,
            block=None if isinstance(block, str) else block,
            gradients=gradients,
            damping=damping,
            recomputations=recomputations,
            **options,
        )

    def _explicit(self, layout: BlockLayout) -> bool:
        return False

    def _saliency(self, weight: Tensor, curvature: BlockInverse, live: Tensor) -> Tensor:
        return block_saliency(weight, curvature)

    def _updated(self, weight: Tensor, curvature: BlockInverse, pruned: Tensor) -> Tensor:
        return block_independent_update(weight, curvature, pruned)
