"""Magnitude pruning with the straight-through estimator.

A new mask at every step; the gradient of the masked weights is applied to the dense ones (Bengio, Leonard, Courville,
"Estimating or propagating gradients through stochastic neurons for conditional computation", 2013; as a pruning
baseline ``magnitude_ste`` in JaxPruner, Lee et al., 2023).
"""

from __future__ import annotations

from typing import Any, final

from tamis.methods._straight_through import StraightThrough


@final
class STE(StraightThrough):
    """Mask the smallest latent weights anew at every step; the gradient at the masked weights reaches all of them.

    Args:
        sparsity: fraction of zeros from ``end`` on, in [0, 1).
        total_steps: optimizer steps of the whole run.
        start: share of the run before the first mask, in [0, 1].
        end: share of the run at which the target is reached along a cubic curve; equal to ``start`` it is reached at
            once.
        initial: fraction of zeros of the first mask when there is a curve.
        **options: see :class:`LatentSparsifier`.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "ste"

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        start: float = 0.0,
        end: float = 0.0,
        initial: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, total_steps, start=start, end=end, every=1, initial=initial, **options)
