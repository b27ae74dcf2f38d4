"""How many weights survive: the integers that every other rule of sparsity is built on."""

from __future__ import annotations

import math

from tamis.errors import UsageError

# s * n is computed in binary: 0.29 * 100 is 28.999999999999996, and a plain floor would keep one weight too many.
ROUNDING_GUARD = 1e-6


def check_sparsity(value: float, name: str = "sparsity") -> float:
    """Return ``value`` as a float if it is a sparsity, that is a fraction of zeros in [0, 1).

    Args:
        value: the number to check.
        name: what the number is called in the error message.

    Raises:
        UsageError: ``value`` is no real number, is NaN, or lies outside [0, 1).
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"{name} must be a number in [0, 1), the fraction of zeros; got {value!r}")
    if not 0.0 <= value < 1.0:
        hint = f"; for {value:g} percent write {value / 100:g}" if 1.0 <= value < 100.0 else ""
        raise UsageError(f"{name} must be in [0, 1), the fraction of zeros; got {value!r}{hint}")
    return float(value)


def keep_count(n: int, sparsity: float) -> int:
    """Number of weights that survive: ``n - floor(sparsity * n + 1e-6)``.

    Args:
        n: number of weights, at least 0.
        sparsity: fraction of zeros in [0, 1]; 1 is allowed here and keeps none.

    Returns:
        An integer in [0, n].

    Raises:
        UsageError: ``n`` is negative or ``sparsity`` is outside [0, 1].

    >>> keep_count(9408, 0.9)
    941
    >>> keep_count(100, 0.29)
    71
    """
    if n < 0:
        raise UsageError(f"cannot keep a share of {n} weights: the number of weights must be at least 0")
    if not 0.0 <= sparsity <= 1.0:
        raise UsageError(f"sparsity must be in [0, 1], the fraction of zeros; got {sparsity!r}")
    return n - min(n, math.floor(sparsity * n + ROUNDING_GUARD))


def floor_count(n: int, sparsity: float, floor: float) -> int:
    """Weights that a layer keeps whatever its rivals: ``max(1, floor(floor * (1 - sparsity) * n))``.

    The floor of :class:`~tamis.sparsity.Global`: a share ``floor`` in (0, 1] of what uniform pruning would leave of
    the layer's ``n`` weights, and at least one of them; ``floor=0`` means no floor and returns 0.

    >>> floor_count(1000, 0.9, 0.2), floor_count(10, 0.9, 0.2), floor_count(10, 0.9, 0.0)
    (20, 1, 0)
    """
    if floor == 0.0 or n == 0:
        return 0
    return min(n, max(1, math.floor(floor * (1.0 - sparsity) * n + ROUNDING_GUARD)))


def iterative_counts(n: int, fraction: float, levels: int) -> list[int]:
    """Survivors of iterative magnitude pruning: each level removes ``ceil(fraction * remaining)``.

    Frankle and Carbin, "The Lottery Ticket Hypothesis" (ICLR 2019); the published code removes one weight more where
    scores tie with its threshold, these counts are exact.

    Args:
        n: number of weights at level 0.
        fraction: share of the remaining weights that a level removes, in [0, 1).
        levels: number of pruning levels, at least 0.

    Returns:
        ``levels + 1`` integers, the first of them ``n``.

    Raises:
        UsageError: ``fraction`` is outside [0, 1) or ``levels`` is negative.

    >>> iterative_counts(1000, 0.2, 4)
    [1000, 800, 640, 512, 409]
    """
    check_sparsity(fraction, "the fraction removed per level")
    if levels < 0:
        raise UsageError(f"the number of levels must be at least 0; got {levels}")
    counts = [n]
    for _ in range(levels):
        removed = math.ceil(fraction * counts[-1] - ROUNDING_GUARD)
        counts.append(counts[-1] - removed)
    return counts


def nominal_sparsity(level: int, fraction: float) -> float:
    """Sparsity after ``level`` rounds that each remove ``fraction`` of the rest: ``1 - (1 - fraction) ** level``.

    >>> round(nominal_sparsity(3, 0.2), 9)
    0.488
    """
    return 1.0 - (1.0 - check_sparsity(fraction, "the fraction removed per level")) ** level


def update_count(live: int, fraction: float) -> int:
    """Weights that a drop-and-grow update exchanges in a layer of ``live`` weights: ``int(fraction * live)``.

    Evci et al., "Rigging the Lottery" (ICML 2020), algorithm 1.

    UsageError if ``fraction`` is not in [0, 1] or ``live`` is negative.

    >>> update_count(1881, 0.15)
    282
    """
    if live < 0 or not 0.0 <= fraction <= 1.0:
        raise UsageError(f"expected live >= 0 and a fraction in [0, 1]; got live={live}, fraction={fraction!r}")
    return int(fraction * live)
