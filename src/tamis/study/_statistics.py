"""Means over seeds with Student's t interval, and differences from a reference method seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tamis.student_t import t_probability, t_quantile


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` independent values and half the width of its 95 % interval; NaN where nothing tells.

    One value has a mean and no interval: ``half`` is NaN then.
    """

    n: int
    mean: float
    half: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half


@dataclass(frozen=True)
class Difference:
    """A paired difference (method minus reference), over the seeds that both have, and its two-sided p-value."""

    estimate: Estimate
    p_value: float


def estimate(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Mean and Student-t interval of independent values; values that are not finite are left out.

    >>> estimate([1.0, 2.0, 3.0])
    Estimate(n=3, mean=2.0, half=2.48...)
    >>> estimate([0.5])
    Estimate(n=1, mean=0.5, half=nan)
    """
    finite = [value for value in values if math.isfinite(value)]
    n = len(finite)
    if n == 0:
        return Estimate(0, math.nan, math.nan)
    mean = math.fsum(finite) / n
    if n == 1:
        return Estimate(1, mean, math.nan)
    return Estimate(n, mean, t_quantile(0.5 + level / 2, n - 1) * _standard_error(finite, mean))


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """The mean of ``values[seed] - reference[seed]`` over common seeds, with its t interval and paired t test.

    The p-value is NaN where t is not defined: for fewer than two pairs, and for differences that are all equal.  The
    latter happens with few seeds and few test images, and their interval of no width means little.
    """
    pairs = [values[seed] - reference[seed] for seed in sorted(values.keys() & reference.keys())]
    found = estimate(pairs)
    finite = [pair for pair in pairs if math.isfinite(pair)]
    if found.n < 2:
        return Difference(found, math.nan)
    error = _standard_error(finite, found.mean)
    if error <= 1e-12 * max(abs(found.mean), 1e-3):  # rounding is no spread
        return Difference(found, math.nan)
    return Difference(found, 2 * (1 - t_probability(abs(found.mean) / error, found.n - 1)))


def _standard_error(values: Sequence[float], mean: float) -> float:
    n = len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
