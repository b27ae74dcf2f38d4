"""Numbers as text: fixed units, no-break spaces, a dash for what was not measured."""

from __future__ import annotations

import math
from typing import Any

SPACE = "\u00a0"
DASH = "\u2013"


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1] in percent.

    >>> percent(0.9), percent(math.nan)
    ('90.0\\xa0%', '–')
    """
    return f"{100 * share:.{digits}f}{SPACE}%" if math.isfinite(share) else DASH


def plain(value: float, digits: int = 3) -> str:
    """Significant digits without an exponent where that stays short.

    >>> plain(0.00423), plain(12345.6), plain(2.0)
    ('0.00423', '12,346', '2')
    """
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def milliseconds(value: float) -> str:
    """Milliseconds with three significant digits.

    >>> milliseconds(12.345)
    '12.3\\xa0ms'
    """
    return f"{plain(value)}{SPACE}ms" if math.isfinite(value) else DASH


def size(count: float) -> str:
    """Bytes in decimal units.

    >>> size(812), size(1_234_567)
    ('812\\xa0B', '1.23\\xa0MB')
    """
    if not math.isfinite(count):
        return DASH
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{plain(count)}{SPACE}{unit}"
        count /= 1000
    return f"{plain(count)}{SPACE}TB"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign.

    >>> points(-0.003)
    '−0.3 points'
    """
    if not math.isfinite(difference):
        return ""
    text = f"{100 * abs(difference):.1f}"
    sign = "" if text == "0.0" else "+" if difference > 0 else "\u2212"
    return f"{sign}{text} points"


def ratio(before: float, after: float, better: str, worse: str) -> str:
    """How ``after`` compares with ``before``, where less is better; empty if either is missing.

    >>> ratio(12.0, 5.0, "faster", "slower"), ratio(5.0, 12.0, "faster", "slower"), ratio(5.0, 5.01, "faster", "slower")
    ('2.4× faster', '2.4× slower', 'no difference')
    """
    if not (math.isfinite(before) and math.isfinite(after)) or before <= 0 or after <= 0:
        return ""
    factor = before / after
    if abs(factor - 1) < 0.02:
        return "no difference"
    return f"{plain(factor, 2)}\u00d7 {better}" if factor > 1 else f"{plain(1 / factor, 2)}\u00d7 {worse}"


def cell(name: str, value: Any) -> str:
    """A value of a free table; the unit follows from the end of the key's name.

    >>> cell("train_fraction", 0.55), cell("dense_ms", 1.5), cell("packed", True), cell("rows", 4096)
    ('55.0\\xa0%', '1.5\\xa0ms', 'yes', '4,096')
    """
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if name.endswith(("_fraction", "sparsity", "_share", "accuracy")):
            return percent(float(value))
        if name.endswith("_ms") or name == "ms":
            return milliseconds(float(value))
        if name.endswith("_us"):
            return f"{plain(float(value))}{SPACE}\u00b5s" if math.isfinite(value) else DASH
        return f"{value:,}" if isinstance(value, int) else plain(value, 4)
    if isinstance(value, list | tuple):
        return " \u00d7 ".join(str(part) for part in value)
    return str(value)


def label(name: str) -> str:
    """A key as a heading.

    >>> label("train_fraction"), label("step_cpu_ms")
    ('Train', 'Step CPU')
    """
    for ending in ("_fraction", "_ms", "_us"):
        name = name.removesuffix(ending)
    words = name.replace("_", " ").strip()
    words = " ".join(
        {"cpu": "CPU", "isa": "ISA", "kl": "KL", "iou": "IoU"}.get(word, word) for word in words.split(" ")
    )
    return words[:1].upper() + words[1:]
