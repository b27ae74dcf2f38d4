"""The paired Wilcoxon signed-rank test, exact for small samples, and Holm's correction for many of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tamis.errors import UsageError

# Differences are rounded before they are ranked: float noise would break ties and change the p-value.
_DIGITS = 10
# with more pairs than this the p-value is that of the normal approximation
_EXACT_UP_TO = 25


@dataclass(frozen=True)
class SignedRank:
    """``n`` non-zero differences, the rank sum of the positive ones, and the two-sided p-value."""

    n: int
    w_plus: float
    p: float

    @property
    def exact(self) -> bool:
        """Whether p counts all sign patterns."""
        return self.n <= _EXACT_UP_TO


def signed_rank(differences: Sequence[float]) -> SignedRank:
    """Wilcoxon's test of paired differences against symmetry around zero.

    Differences are rounded to 1e-10, zeros dropped, ties given midranks; the p-value counts all sign patterns of the
    ranks (above 25 pairs: normal approximation with tie correction).  Without a difference p is 1.  Only their order
    counts, so a difference may be infinite.

    >>> signed_rank([1, 1, -1])
    SignedRank(n=3, w_plus=4.0, p=1.0)

    Raises:
        UsageError: a difference is NaN.
    """
    if any(map(math.isnan, differences)):
        raise UsageError(f"differences {list(differences)}; expected numbers")
    rounded = [round(value, _DIGITS) for value in differences]
    x = [value for value in rounded if value != 0]
    if not x:
        return SignedRank(0, 0.0, 1.0)
    doubled = _doubled_midranks([abs(value) for value in x])
    w_plus = sum(rank for rank, value in zip(doubled, x, strict=True) if value > 0)
    count = _exact if len(x) <= _EXACT_UP_TO else _normal
    return SignedRank(len(x), w_plus / 2, count(doubled, w_plus))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for their number (Holm 1979), in the given order.

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = largest
    return tuple(corrected)


def _doubled_midranks(sizes: Sequence[float]) -> list[int]:
    """Twice the midranks, so that they are whole numbers."""
    ordered = sorted(sizes)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, size in enumerate(ordered, 1):
        first.setdefault(size, place)
        last[size] = place
    return [first[size] + last[size] for size in sizes]


def _exact(doubled: Sequence[int], w_plus: int) -> float:
    """Two-sided p over all 2^n sign patterns: how many reach each sum, one rank at a time."""
    total = sum(doubled)
    counts = [1] + [0] * total
    reached = 0
    for rank in doubled:
        reached += rank
        for s in range(reached, rank - 1, -1):
            counts[s] += counts[s - rank]
    tail = min(sum(counts[: w_plus + 1]), sum(counts[w_plus:]))
    return min(1.0, 2 * tail / 2 ** len(doubled))


def _normal(doubled: Sequence[int], w_plus: int) -> float:
    # the variance of the sum of independently signed ranks; ties are in the midranks themselves
    variance = sum(rank * rank for rank in doubled) / 4
    return math.erfc(abs(w_plus - sum(doubled) / 2) / math.sqrt(2 * variance))
