"""Estimates of the content as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tamis.report._format import DASH, SPACE

MINUS = "\u2212"
SHARES = ("accuracy", "uncertainty", "very_uncertain", "cie_share", "predicted_positive", "fraction")


def number(value: Any) -> float:
    """A number or NaN."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def fixed(value: Any, digits: int = 3) -> str:
    """Fixed digits with a true minus; a dash where there is no number.

    >>> fixed(-0.0312), fixed(None), fixed(-0.0001)
    ('−0.031', '–', '0.000')
    """
    x = number(value)
    if not math.isfinite(x):
        return DASH
    text = f"{abs(x):.{digits}f}"
    return text if x > 0 or float(text) == 0 else MINUS + text


def signed(value: Any, digits: int = 3) -> str:
    """As :func:`fixed`, and with a plus.

    >>> signed(0.0312), signed(0.0)
    ('+0.031', '0.000')
    """
    text = fixed(value, digits)
    return "+" + text if number(value) > 0 and float(text) else text


def measured(metric: str, value: Any) -> str:
    """A value of a curve: shares in percent, everything else with three digits."""
    x = number(value)
    if metric in SHARES and math.isfinite(x):
        return f"{fixed(100 * x, 1)}{SPACE}%"
    return fixed(x)


def span(low: Any, high: Any, text: Any = signed) -> str:
    """An interval; empty where there is none."""
    if not (math.isfinite(number(low)) and math.isfinite(number(high))):
        return ""
    return f"{text(low)} to {text(high)}"


def interval_text(estimate: Mapping[str, Any], text: Any = signed) -> str:
    """The interval of an estimate; why it has no ends, or a dash where there is none."""
    if "too_few_clusters" in (estimate.get("interval") or {}).get("notes", ()):
        return "too few clusters"
    return span(*interval(estimate), text) or DASH


def interval(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Ends of an estimate's interval, NaN where it has none."""
    found = estimate.get("interval") or {}
    return number(found.get("lo")), number(found.get("hi"))


def change_of(point: Mapping[str, Any] | None, dense: Mapping[str, Any] | None) -> tuple[float, float, float]:
    """How far a point of a curve lies from the dense one and the ends of that difference's interval; NaN where unknown.

    A report may count a drop as positive; here the difference is always compressed minus dense.  A change that is no
    difference of the two means (a ratio, say) has no place on the curve and gives no interval.
    """
    difference = mean(point) - mean(dense)
    change = (point or {}).get("change")
    low, high = interval(change or {})
    for sign in (1.0, -1.0):
        if math.isfinite(low) and math.isclose(sign * mean(change), difference, abs_tol=1e-9):
            low, high = sorted((sign * low, sign * high))
            return difference, low, high
    return difference, math.nan, math.nan


def mean(estimate: Mapping[str, Any] | None) -> float:
    """The estimate's mean, NaN where undefined or absent."""
    return number((estimate or {}).get("mean"))


def p_value(value: Any, name: str = "") -> str:
    """A p or q value, alone or with its name.

    >>> p_value(0.0004), p_value(0.2, "p"), p_value(0, "q")
    ('<\\xa00.001', 'p\\xa0=\\xa00.200', 'q\\xa0<\\xa00.001')
    """
    x = number(value)
    before = f"{name}{SPACE}" if name else ""
    if x < 0.001:
        return f"{before}<{SPACE}0.001"
    return f"{before}={SPACE}{fixed(x)}" if name else fixed(x)
