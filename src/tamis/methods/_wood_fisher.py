"""WoodFisher: optimal brain surgeon with a block-diagonal empirical Fisher matrix.

Singh and Alistarh, "WoodFisher: Efficient Second-Order Approximation for Neural Network Compression" (NeurIPS 2020).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._fisher_blocks import undisturbed
from tamis.methods._fisher_pruning import FisherPruning
from tamis.methods._ledger import measure_layer_costs
from tamis.sparsity import BlockInverse, block_independent_update, block_saliency


class WoodFisher(FisherPruning):
    """Prune by ``w_q^2 / (2 H_qq)``, ranked globally; the updates of all pruned weights are summed.

    The summed updates are not the joint optimum; the published remedy is to estimate the curvature several times within
    an event (``recomputations``).  Published for ResNet-50: ``block=2000``, ``gradients=400``, ``fisher_batch=400``,
    ``damping=1e-5``; the default block is for a CPU.

    Args:
        sparsity: fraction of zeros after the last event, in [0, 1).
        total_steps: optimizer steps of the whole run; None prunes once, in :meth:`attach`.
        start, end, events, initial: the schedule, see :class:`~tamis.methods.FisherPruning`.
        block: B, weights per block.
        gradients: m, gradients per estimate.
        fisher_batch: samples that each gradient is the mean over.
        damping: lambda > 0.
        recomputations: cuts per event, each with a new estimate.
        flops_power: p >= 0 ranks ``saliency / positions ** p``, where a weight is used once per output position, so
            that weights that cost many FLOPs go earlier (the paper's FLOPs-aware variant); 0 ranks saliencies.
        memory_mb: MiB for the blocks of one group.
        from_zeros: keep the zeros that the model has at :meth:`attach`.
        **options: see :class:`Sparsifier`; ``examples`` is required.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "woodfisher"

    def __init__(
        self,
        sparsity: float,
        total_steps: int | None = None,
        *,
        block: int = 32,
        gradients: int = 400,
        damping: float = 1e-5,
        flops_power: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, total_steps, block=block, gradients=gradients, damping=damping, **options)
        if not 0.0 <= flops_power < float("inf"):
            raise UsageError(f"flops_power must be at least 0; got {flops_power!r}")
        self.flops_power = float(flops_power)

    def _saliency(self, weight: Tensor, curvature: BlockInverse, live: Tensor) -> Tensor:
        return block_saliency(weight, curvature)

    def _updated(self, weight: Tensor, curvature: BlockInverse, pruned: Tensor) -> Tensor:
        return block_independent_update(weight, curvature, pruned)

    def _ranked(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.flops_power == 0.0:
            return scores
        assert self._model is not None
        assert self.examples is not None
        with undisturbed(self._model):
            inputs, _ = next(iter(self.examples.take(1)))
            costs = measure_layer_costs(self._model, inputs)
        positions = {cost.name: cost.positions for cost in costs}
        return {name: score / positions.get(name, 1) ** self.flops_power for name, score in scores.items()}

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "flops_power": self.flops_power}
