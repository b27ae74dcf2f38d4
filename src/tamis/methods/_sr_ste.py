"""SR-STE: sparse-refined straight-through training of N:M networks.

Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li, "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch"
(ICLR 2021).
"""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._straight_through import StraightThrough
from tamis.sparsity import NM, Pattern, sr_ste_gradient

_TWO_OF_FOUR = NM(2, 4)


@final
class SRSTE(StraightThrough):
    """Straight-through training with a pull on masked weights: gradient ``g + strength * (1 - m) * w`` for all.

    The mask is chosen anew at every step.  The pull shrinks the weights outside the mask, so that masks settle.

    Args:
        sparsity: fraction of zeros; ``1 - n / m`` for an N:M pattern.
        total_steps: optimizer steps of the whole run.
        strength: lambda, at least 0; 0 is :class:`~tamis.methods.STE`.
        start: share of the run before the first mask, in [0, 1].
        pattern: 2:4 by default; any other pattern works as well.
        **options: see :class:`LatentSparsifier`.

    Raises:
        UsageError: the choices do not fit each other; a row length is no multiple of ``m`` (at :meth:`attach`; the
            message says how to leave those layers dense).
    """

    method = "srste"

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        strength: float = 2e-4,
        start: float = 0.0,
        pattern: Pattern = _TWO_OF_FOUR,
        **options: Any,
    ) -> None:
        super().__init__(
            sparsity, total_steps, start=start, end=start, every=1, initial=0.0, pattern=pattern, **options
        )
        if not 0 <= strength < float("inf"):
            raise UsageError(f"strength must be a finite number of at least 0; got {strength!r}")
        self.strength = float(strength)

    def gradient(self, name: str, latent: Tensor, upstream: Tensor) -> Tensor:
        """``upstream + strength * (1 - mask) * latent``, all of the weight's shape."""
        mask = self._mask(name)
        return upstream if mask is None else sr_ste_gradient(upstream, latent, mask, self.strength)

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "strength": self.strength}
