"""Options of the methods that prune by magnitude."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.errors import UsageError
from tamis.train._options import MethodOptions
from tamis.train._recipe_checks import at_least, fraction_of_zeros, within

PHASE_LENGTHS = ("warmup", "sparse", "dense", "last_dense", "last_sparse")


@dataclass(frozen=True)
class ACDCOptions(MethodOptions):
    """Lengths of the phases of AC/DC in epochs; all 0 for the published shares of ``train.epochs``."""

    warmup: int = 0
    """First dense phase (10 %)."""
    sparse: int = 0
    """Each sparse phase but the last (5 %)."""
    dense: int = 0
    """Each dense phase between two sparse ones (5 %)."""
    last_dense: int = 0
    """Last dense phase (10 %)."""
    last_sparse: int = 0
    """Last sparse phase (15 %)."""
    ramp: bool = False
    """Grow the sparsity in the first half of each sparse phase instead of jumping to the target."""
    reset_momentum: bool = True
    """Clear first moments at the entry of each dense phase, as published."""

    def __post_init__(self) -> None:
        for key in PHASE_LENGTHS:
            at_least(f"options.{key}", getattr(self, key), 0)
        given = [key for key in PHASE_LENGTHS if getattr(self, key)]
        if given and len(given) < 5:
            raise UsageError(
                f"options gives {', '.join(given)}: expected all five phase lengths in epochs, or none of them"
            )


@dataclass(frozen=True)
class GMPOptions(MethodOptions):
    """Gradual magnitude pruning: when and how fast, in fractions of the run."""

    start: float = 0.2
    """Share of the run before the first event."""
    end: float = 0.8
    """Share of the run at which the target is reached."""
    events: int = 16
    """Number of prunings between ``start`` and ``end``."""
    initial: float = 0.0
    """Fraction of zeros at the first event."""
    revive: bool = False
    """Let pruned weights come back (Zhu & Gupta 2017) instead of nested masks."""
    from_zeros: bool = False
    """Keep the zeros that the model starts with."""

    def __post_init__(self) -> None:
        within("options.start", self.start, 0.0, 1.0)
        within("options.end", self.end, 0.0, 1.0)
        at_least("options.events", self.events, 1)
        fraction_of_zeros("options.initial", self.initial)
        if self.start > self.end or (self.start == self.end and self.events > 1):
            raise UsageError(
                f"options.start = {self.start} and options.end = {self.end}: expected start < end, or one event"
            )


@dataclass(frozen=True)
class OneShotOptions(MethodOptions):
    """Pruning once."""

    epoch: int = 0
    """Epochs of dense training before the pruning."""
    from_zeros: bool = False
    """Keep the zeros that the model has then."""

    def __post_init__(self) -> None:
        at_least("options.epoch", self.epoch, 0)
