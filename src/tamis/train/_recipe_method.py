"""Distribution and pattern of a recipe: a frozen value per constructor of tamis.sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tamis.errors import UsageError
from tamis.train._recipe_checks import at_least, fraction_of_zeros, one_of_the_kinds, within


@dataclass(frozen=True)
class Distribution:
    """How the zeros are shared among the layers; keys other than ``kind`` belong to the kinds named beside them."""

    kind: Literal["default", "global", "uniform", "erk", "budget"] = "default"
    """The method's own, one threshold over all layers, the same fraction in each, Erdos-Renyi-Kernel, or a table."""
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

    kind: Literal["default", "unstructured", "nm", "block", "fanin"] = "default"
    """The method's own, any mask, n of every m inputs, whole blocks, or the same count in each row."""
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
    "default": (),
    "global": ("floor", "normalise"),
    "uniform": ("dense", "first_dense", "last_dense"),
    "erk": ("power", "kernel", "dense", "first_dense", "last_dense"),
    "budget": ("table",),
}
PATTERN_KEYS: dict[str, tuple[str, ...]] = {
    "default": (),
    "unstructured": (),
    "nm": ("n", "m"),
    "block": ("rows", "cols"),
    "fanin": (),
}
