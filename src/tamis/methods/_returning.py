"""How pruned weights come back when AC/DC enters a dense phase."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.errors import UsageError
from tamis.sparsity import exponential_ramp


@dataclass(frozen=True)
class ReturnAsZero:
    """Pruned weights come back as zeros and are trainable again: the published method."""


@dataclass(frozen=True)
class ReturnAsSaved:
    """Pruned weights come back with the values that they had when they were pruned."""


@dataclass(frozen=True)
class ReturnAtRandom:
    """Pruned weights come back as small normal numbers, so that units with both sides pruned get gradients again.

    Attributes:
        std: standard deviation, positive.
        seed: of the generator, which is part of the checkpoint.
    """

    std: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise UsageError(f"ReturnAtRandom needs std > 0; got {self.std!r}. For zeros use ReturnAsZero()")


Returning = ReturnAsZero | ReturnAsSaved | ReturnAtRandom


@dataclass(frozen=True)
class Ramp:
    """Grow the sparsity at the entry of every sparse phase instead of jumping to it (SequentialAttention++, 2024).

    ``s (1 - exp(-4 u)) / (1 - exp(-4))`` at ``updates + 1`` evenly spaced steps, ``u`` from 0 to 1; masks nest.

    Attributes:
        share: part of each sparse phase that the ramp takes, in (0, 1].
        updates: mask changes after the first, at least 1.
    """

    share: float = 0.5
    updates: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.updates < 1:
            raise UsageError(f"Ramp needs 0 < share <= 1 and updates >= 1; got {self}")

    def targets(self, start: int, end: int) -> dict[int, float]:
        """Step -> progress ``u`` for a phase ``[start, end)``; the last step has exactly 1."""
        length = max(1, int(self.share * (end - start)))
        last = min(start + length, end - 1)
        span, n = last - start, self.updates
        return {start + (2 * span * i + n) // (2 * n): i / n for i in range(n + 1)}  # boundaries round half up

    def sparsities(self, start: int, end: int, final: float) -> dict[int, float]:
        """Step -> sparsity for a phase ``[start, end)`` that ends at exactly ``final``, the fraction of zeros.

        >>> Ramp(share=0.5, updates=2).sparsities(0, 8, 0.9)
        {0: 0.0, 2: 0.792717..., 4: 0.9}
        """
        return {step: exponential_ramp(progress, final) for step, progress in self.targets(start, end).items()}
