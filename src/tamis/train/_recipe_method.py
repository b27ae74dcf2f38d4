"""The part of a recipe that speaks about pruning: a frozen value per constructor of sparsity and methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tamis.errors import UsageError
from tamis.train._recipe_checks import at_least, fraction_of_zeros, one_of_the_kinds, within


@dataclass(frozen=True)
class Distribution:
    """How the zeros are shared among the layers; keys other than ``kind`` belong to the kinds named beside them."""

    kind: Literal["global", "uniform", "erk", "budget"] = "global"
    """One threshold over all layers, the same fraction in each, Erdos-Renyi-Kernel, or a table."""
    floor: float | None = None
    """global: share of its uniform budget that each layer keeps at least (0 to 1)."""
    normalise: Literal["l2"] | None = None
    """global: divide each layer's scores by their norm first."""
    power: float | None = None
    """erk: exponent of the layer's raw probability."""
    kernel: bool | None = None
    """erk: count the kernel's size too (ERK); false is plain Erdos-Renyi (ER)."""
    dense: tuple[str, ...] | None = None
    """uniform, erk: layers that stay dense, by name."""
    first_dense: bool | None = None
    """uniform, erk: keep the first layer dense."""
    last_dense: bool | None = None
    """uniform, erk: keep the last layer dense."""
    table: Mapping[str, float] | None = None
    """budget: layer name -> fraction of zeros."""

    def __post_init__(self) -> None:
        one_of_the_kinds("distribution", self, DISTRIBUTION_KEYS)
        if self.kind == "budget" and self.table is None:
            raise UsageError('distribution.kind = "budget" needs distribution.table, a fraction of zeros by layer name')
        if self.floor is not None:
            within("distribution.floor", self.floor, 0.0, 1.0)
        for layer, fraction in (self.table or {}).items():
            fraction_of_zeros(f"distribution.table.{layer}", fraction)


@dataclass(frozen=True)
class Pattern:
    """Which masks are allowed; keys other than ``kind`` belong to the kinds named beside them."""

    kind: Literal["unstructured", "nm", "block", "fanin"] = "unstructured"
    """Any mask, n of every m inputs, whole blocks, or the same count in each row."""
    n: int | None = None
    """nm: weights kept in each group."""
    m: int | None = None
    """nm: size of a group along the input."""
    rows: int | None = None
    """block: height in output channels."""
    cols: int | None = None
    """block: width along the flattened input."""

    def __post_init__(self) -> None:
        one_of_the_kinds("pattern", self, PATTERN_KEYS, required=True)
        for key in ("n", "m", "rows", "cols"):
            if getattr(self, key) is not None:
                at_least(f"pattern.{key}", getattr(self, key), 1)
        if self.kind == "nm" and self.n is not None and self.m is not None and self.n >= self.m:
            raise UsageError(f"pattern.n = {self.n} and pattern.m = {self.m}: expected n < m, such as 2 of 4")


DISTRIBUTION_KEYS: dict[str, tuple[str, ...]] = {
    "global": ("floor", "normalise"),
    "uniform": ("dense", "first_dense", "last_dense"),
    "erk": ("power", "kernel", "dense", "first_dense", "last_dense"),
    "budget": ("table",),
}
PATTERN_KEYS: dict[str, tuple[str, ...]] = {
    "unstructured": (),
    "nm": ("n", "m"),
    "block": ("rows", "cols"),
    "fanin": (),
}


@dataclass(frozen=True)
class Acdc:
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
        for key in ("warmup", "sparse", "dense", "last_dense", "last_sparse"):
            at_least(f"acdc.{key}", getattr(self, key), 0)
        given = [key for key in ("warmup", "sparse", "dense", "last_dense", "last_sparse") if getattr(self, key)]
        if given and len(given) < 5:
            raise UsageError(
                f"acdc gives {', '.join(given)}: expected all five phase lengths in epochs, or none of them"
            )


@dataclass(frozen=True)
class Gmp:
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
        within("gmp.start", self.start, 0.0, 1.0)
        within("gmp.end", self.end, 0.0, 1.0)
        at_least("gmp.events", self.events, 1)
        fraction_of_zeros("gmp.initial", self.initial)
        if self.start >= self.end:
            raise UsageError(f"gmp.start = {self.start} and gmp.end = {self.end}: expected start < end")


@dataclass(frozen=True)
class Oneshot:
    """Pruning once."""

    epoch: int = 0
    """Epochs of dense training before the pruning."""
    from_zeros: bool = False
    """Keep the zeros that the model has then."""

    def __post_init__(self) -> None:
        at_least("oneshot.epoch", self.epoch, 0)
