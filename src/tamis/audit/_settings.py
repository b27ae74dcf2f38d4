"""How an audit is done: limits, widths, levels and draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tamis.audit._aggregate import Support
from tamis.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """The settings of :func:`tamis.audit.audit`, checked; UsageError for values that make no sense."""

    min_positives: int = 10
    min_gap: Fraction = Fraction(1, 10)
    min_cell: int = 30
    uncertainty: float = 0.4
    ci: float = 0.95
    n_boot: int = 2000
    support: Support = "common"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("min_positives", 0), ("min_cell", 1), ("n_boot", 100), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise UsageError(f"{name}={value!r}; expected a whole number of at least {low}")
        if not 0 <= self.min_gap < 1:
            raise UsageError(f"min_gap={self.min_gap}; expected a fraction in [0, 1), such as '1/10'")
        if not 0 < self.uncertainty <= 0.5:
            raise UsageError(f"uncertainty={self.uncertainty}; expected a half-width in (0, 0.5]")
        if not 0.5 <= self.ci < 1:
            raise UsageError(f"ci={self.ci}; expected a level in [0.5, 1), such as 0.95")
        if self.support not in ("common", "each"):
            raise UsageError(f"support={self.support!r}; expected 'common' or 'each'")

    def as_json(self) -> Mapping[str, Any]:
        """Plain JSON types."""
        return {**vars(self), "min_gap": str(self.min_gap)}


def exact_fraction(text: str | Fraction) -> Fraction:
    """``1/10`` or ``0.1`` as an exact fraction; UsageError for anything else."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError, TypeError):
        raise UsageError(f"min_gap={text!r}; expected a fraction such as '1/10'") from None
