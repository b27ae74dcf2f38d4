"""Options of iterative pruning with rewinding; the learning-rate schedule of the recipe runs anew in every level."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.train._options import MethodOptions


@dataclass(frozen=True)
class LotteryTicketOptions(MethodOptions):
    """Iterative magnitude pruning with rewinding."""

    rewind_step: float = 0.0
    """Where later levels begin: a share in (0, 1) of a level's schedule, or whole optimizer steps."""
    fraction: float = 0.2
    """Share of the remaining weights that a level removes."""
    from_zeros: bool = False
    """Keep the zeros that the model starts with."""


@dataclass(frozen=True)
class LTHTOptions(MethodOptions):
    """Lottery tickets for transfer, from pretrained weights."""

    fraction: float = 0.2
    """Share of the remaining weights that a level removes."""


@dataclass(frozen=True)
class LRROptions(LotteryTicketOptions):
    """Learning-rate rewinding: weights stay, the schedule starts again."""

    reset_optimizer: bool = True
    """Start every level with a fresh optimizer state."""
