"""SET: sparse evolutionary training.

Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network
science" (Nature Communications, 2018), in the form of the code published with RigL: magnitudes decide what is dropped,
on the schedule of RigL.
"""

from __future__ import annotations

from collections.abc import Mapping

from tamis.methods._dynamic import DynamicSparse
from tamis.methods._ledger import ForwardFraction
from tamis.sparsity import static_cost


class SET(DynamicSparse):
    """Drop the smallest magnitudes, grow at random; updates come after the optimizer step.

    No gradient of a pruned weight is ever needed, so layers stay packed throughout.

    Args:
        sparsity: fraction of zeros in [0, 1).
        total_steps: optimizer steps of the whole run.
        **options: see :class:`~tamis.methods.DynamicSparse` and :class:`Sparsifier`.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "set"

    def _enter(self, step: int) -> None:
        if step == 0:
            self._start()
        if self._is_update(step):
            self._announce()
            supports = self._attached()
            trained = {n: w for n, w in supports.weights().items() if supports.layers[n].weight.requires_grad}
            self._update(self._random_scores(trained))

    def _needs_gradients(self, step: int) -> bool:
        return False

    def _published_cost(self, live: Mapping[str, int], fraction: ForwardFraction) -> float:
        return static_cost(fraction(live))
