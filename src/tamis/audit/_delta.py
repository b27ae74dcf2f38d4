"""Delta intervals over test rows and clusters of them: from how much each row moves a value, to first order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tamis.audit._intervals import MIN_CLUSTERS, Interval, delta_interval, no_cluster_interval
from tamis.audit._student import quantile


@dataclass
class Influence:
    """How much each row moves a value, and what its intervals need beside that.

    Attributes:
        rows: to first order, float64, shape (N,), summing to 0.
        spare: variance that is added so that values which no row moved have a width too; see :func:`two_more`.
        clusters: how many clusters tell about the value; None without clusters.
    """

    rows: np.ndarray
    spare: float = 0.0
    clusters: int | None = None

    def add(self, other: Influence, share: float) -> None:
        """Take in ``share`` of another value; as many clusters tell about the sum as about the least known part."""
        self.rows += share * other.rows
        self.spare += share**2 * other.spare
        self.clusters = fewer(self.clusters, other.clusters)


def two_more(*steps: float) -> float:
    """Variance of one more row that loses and one that gains, for each of the steps by which a row moves a value.

    Without them a share that happened to be 0 in few rows would be certain.  This is what adding one to both counts of
    changed rows does to the variance (Bonett & Price 2012); the value stays as it is counted.
    """
    return 2 * math.fsum(step**2 for step in steps)


def fewer(a: int | None, b: int | None) -> int | None:
    """The smaller count; None where there are no clusters."""
    return None if a is None or b is None else min(a, b)


def distinct(cluster: np.ndarray | None) -> int | None:
    """How many clusters these rows come from; None without clusters."""
    return None if cluster is None else len(np.unique(cluster))


def clusters_apart(cluster: np.ndarray | None, group: np.ndarray) -> int | None:
    """Clusters of the group, 0 or 1, that comes from fewer: a difference of both is known no better than that."""
    if cluster is None:
        return None
    return min(len(np.unique(cluster[group == side])) for side in (0, 1))


def delta_intervals(
    value: float, variance: float, spare: float, sums: np.ndarray | None, clusters: int | None, level: float
) -> tuple[Interval, ...]:
    """Intervals over rows and, where there are clusters, over clusters.

    Args:
        value: around which they lie.
        variance: sum of squared influences of rows.
        spare: as in :class:`Influence`.
        sums: influence of each cluster; None without clusters.
        clusters: how many tell about the value.
        level: of both.

    Clusters have Student's quantile with ``clusters - 1`` degrees of freedom and the variance C/(C - 1) times the sum
    of squares; below ``MIN_CLUSTERS`` no ends.
    """
    rows = delta_interval(value, variance + spare, level, "rows")
    if sums is None or clusters is None:
        return (rows,)
    if clusters < MIN_CLUSTERS:
        return (rows, no_cluster_interval(level, "delta"))
    error = math.sqrt(clusters / (clusters - 1) * float(sums @ sums) + spare)
    half = quantile(0.5 + level / 2, clusters - 1) * error
    return (rows, Interval(value - half, value + half, "clusters", "delta", level))
