"""Intervals: percentiles of bootstrap draws, the delta method, training seeds; and many tests at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from tamis.audit._reasons import Value, undefined
from tamis.audit._student import quantile, two_sided
from tamis.errors import UsageError

MIN_SEEDS = 5
MIN_CLUSTERS = 20  # fewer tell too little of how clusters differ; docs/audit_metrics.md has the measured coverage
MOST_DROPPED = 0.05

Kind = Literal["rows", "clusters", "seeds"]
Method = Literal["bootstrap", "delta", "t"]


@dataclass(frozen=True)
class Interval:
    """An interval and what it is over.

    Attributes:
        lo: lower end; NaN, as ``hi``, where there are too few clusters for an interval over them.
        hi: upper end.
        kind: what varies: test rows, clusters of test rows, or training seeds.
        method: how it was found.
        level: share of intervals that hold the truth, such as 0.95.
        dropped: share of bootstrap draws that were 0/0 and are not in it.
        notes: reason codes, such as ``unstable_interval``.
        paired: whether seeds were compared one by one.
    """

    lo: float
    hi: float
    kind: Kind
    method: Method
    level: float
    dropped: float = 0.0
    notes: tuple[str, ...] = ()
    paired: bool = True


@dataclass(frozen=True)
class SeedInterval:
    """Mean change over training seeds with its interval; p is two-sided."""

    mean: float
    interval: Interval | None
    p: Value


def no_cluster_interval(level: float, method: Method) -> Interval:
    """What stands for an interval over fewer than ``MIN_CLUSTERS`` clusters: it has no ends, and says why."""
    return Interval(math.nan, math.nan, "clusters", method, level, notes=("too_few_clusters",))


def percentile_interval(draws: np.ndarray, level: float, kind: Kind, clusters: int | None = None) -> Interval | None:
    """Percentiles of bootstrap draws, shape (B,); NaN draws (0/0) are left out and counted; None if none is left.

    Of draws of C ``clusters`` the percentiles lie further out, so that for a mean they would agree with Student's
    interval (expanded percentiles, Hesterberg 2015): plain ones are too narrow by sqrt((C - 1)/C) and by the normal
    quantile in place of Student's.
    """
    good = draws[~np.isnan(draws)]
    dropped = 1 - len(good) / len(draws)
    if len(good) == 0:
        return None
    tail = 0.5 - level / 2
    if clusters is not None:
        tail = NormalDist().cdf(-quantile(0.5 + level / 2, clusters - 1) * math.sqrt(clusters / (clusters - 1)))
    lo, hi = np.quantile(good, [tail, 1 - tail])
    notes = ("unstable_interval",) if dropped > MOST_DROPPED else ()
    return Interval(float(lo), float(hi), kind, "bootstrap", level, dropped, notes)


def bootstrap_p(draws: np.ndarray, clusters: int | None = None) -> float:
    """Two-sided p of no change: twice the smaller share of draws on one side of 0, with 1 added to both counts.

    Of draws of C ``clusters`` it is that of the expanded percentiles: p below 0.05 is an interval that excludes 0.
    """
    good = draws[~np.isnan(draws)]
    below, above = int((good <= 0).sum()), int((good >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (len(good) + 1))
    if clusters is None:
        return p
    return two_sided(NormalDist().inv_cdf(p / 2) * math.sqrt((clusters - 1) / clusters), clusters - 1)


def delta_interval(value: float, variance: float, level: float, kind: Kind) -> Interval:
    """The normal interval of a smooth function of counts, from its variance by linearisation (the delta method)."""
    half = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(max(variance, 0.0))
    return Interval(value - half, value + half, kind, "delta", level)


def seed_interval(dense: Sequence[float], compressed: Sequence[float], *, ci: float = 0.95) -> SeedInterval:
    """Paired t interval of the change from the dense to the compressed model, seed by seed.

    Args:
        dense: one value a seed.
        compressed: the values of the same seeds, in the same order.
        ci: its level.

    Fewer than five seeds have no interval (p is undefined with too_few_seeds).

    Raises:
        UsageError: the lists differ in length, or are empty.
    """
    if len(dense) != len(compressed) or not dense:
        raise UsageError(
            f"{len(dense)} dense and {len(compressed)} compressed seeds; expected the same seeds, at least one"
        )
    change = np.asarray(compressed, np.float64) - np.asarray(dense, np.float64)
    if len(change) < MIN_SEEDS:
        return SeedInterval(float(change.mean()), None, undefined("too_few_seeds"))
    error = float(change.std(ddof=1)) / math.sqrt(len(change))
    return _t_interval(float(change.mean()), error, len(change) - 1, ci, paired=True)


def unpaired_seed_interval(dense: Sequence[float], compressed: Sequence[float], *, ci: float = 0.95) -> SeedInterval:
    """Welch's t interval of the change between two populations of seeds; fewer than five on a side have none."""
    sides = [np.asarray(side, np.float64) for side in (dense, compressed)]
    mean = float(sides[1].mean() - sides[0].mean())
    if min(map(len, sides)) < MIN_SEEDS:
        return SeedInterval(mean, None, undefined("too_few_seeds"))
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    total = sum(parts)
    freedom = total**2 / sum(p**2 / (len(s) - 1) for p, s in zip(parts, sides, strict=True)) if total else 1.0
    return _t_interval(mean, math.sqrt(total), freedom, ci, paired=False)


def _t_interval(mean: float, error: float, freedom: float, ci: float, *, paired: bool) -> SeedInterval:
    half = quantile(0.5 + ci / 2, freedom) * error
    p = Value(two_sided(mean / error, freedom)) if error else undefined("constant")
    return SeedInterval(mean, Interval(mean - half, mean + half, "seeds", "t", ci, paired=paired), p)


def widest(intervals: Sequence[Interval]) -> Interval | None:
    """The interval that the gate uses: the one with the largest width, or one without ends, which could be any."""
    for found in intervals:
        if math.isnan(found.lo):
            return found
    return max(intervals, key=lambda found: found.hi - found.lo, default=None)


def bh_adjust(p: Sequence[float]) -> list[float]:
    """Benjamini & Hochberg (1995): q values that bound the share of false discoveries, in the order given.

    >>> bh_adjust([0.001, 0.03, 0.02, 0.2])
    [0.004, 0.04, 0.04, 0.2]
    """
    given = np.asarray(p, np.float64)
    order = np.argsort(given, kind="stable")
    scaled = given[order] * len(given) / np.arange(1, len(given) + 1)
    found = np.empty(len(given))
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return found.tolist()
