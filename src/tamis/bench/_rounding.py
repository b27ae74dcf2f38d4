"""Numbers as tables show them."""

from __future__ import annotations


def rounded(value: float | None, digits: int = 3) -> float | str:
    """``value`` with so many decimals; blank for None.

    >>> rounded(1.23456), rounded(None)
    (1.235, '')
    """
    return "" if value is None else round(value, digits)


def scientific(value: float | None) -> float | str:
    """``value`` with three significant digits; blank for None."""
    return "" if value is None else float(f"{value:.2e}")
