"""Dynamic pruning with feedback.

Lin, Stich, Barba, Dmitriev, Jaggi, "Dynamic Model Pruning with Feedback" (ICLR 2020).
"""

from __future__ import annotations

from typing import Any, final

from tamis.methods._straight_through import StraightThrough


@final
class DPF(StraightThrough):
    """Mask the smallest latent weights every ``every`` steps while the sparsity grows; gradients reach all of them.

    The gradient is taken at the masked weights and applied to the dense ones, so a weight that was pruned too early
    goes on moving and comes back when it is large enough.  With ``every=1`` and no curve this is
    :class:`~tamis.methods.STE`.

    Args:
        sparsity: fraction of zeros from ``end`` on, in [0, 1).
        total_steps: optimizer steps of the whole run.
        every: steps between two masks, 16 as published.
        start: share of the run before the first mask, in [0, 1].
        end: share of the run at which the target is reached along the cubic curve of gradual pruning.
        initial: fraction of zeros of the first mask, in [0, sparsity].
        **options: see :class:`LatentSparsifier`.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "dpf"

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        every: int = 16,
        start: float = 0.0,
        end: float = 0.5,
        initial: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, total_steps, start=start, end=end, every=every, initial=initial, **options)
