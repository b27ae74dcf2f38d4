"""Bias amplification: does a model predict an attribute more often than it is true for the group it goes with?

Published code: IST-DASLab/pruned-vision-model-bias (``runs.py``, ``single_label.py``), after Zhao et al. (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tamis.audit._reasons import Value, undefined

MIN_POSITIVES = 10
MIN_GAP = Fraction(1, 10)


@dataclass(frozen=True)
class TrainCounts:
    """Training samples of both groups, and how many of them have the attribute."""

    positives1: int
    n1: int
    positives0: int
    n0: int

    @classmethod
    def of(cls, group: np.ndarray, y_true: np.ndarray) -> TrainCounts:
        """Count arrays of shape (N,) with 0, 1 and 255 for unknown; rows with an unknown value are left out."""
        known = (group < 2) & (y_true < 2)
        cells = np.bincount(2 * group[known].astype(np.intp) + y_true[known], minlength=4)
        return cls(int(cells[3]), int(cells[2] + cells[3]), int(cells[1]), int(cells[0] + cells[1]))

    @property
    def correlation(self) -> float:
        """Pearson's correlation of attribute and membership; 0 where one of them is constant."""
        n, members, positives = self.n1 + self.n0, self.n1, self.positives1 + self.positives0
        spread = members * (n - members) * positives * (n - positives)
        return (n * self.positives1 - members * positives) / spread**0.5 if spread else 0.0


@dataclass(frozen=True)
class BiasAmplification:
    """Bias amplification of one attribute and identity.

    Attributes:
        value: in [-b, 1 - b] where b is the group's share of the true positives; NaN where undefined.
        reason: why it is undefined, or empty.
        toward: the group (1 or 0) that the training data favour; None where there is none.
        headroom: the largest value that is possible here, 1 - b; NaN where undefined.
    """

    value: float
    reason: str
    toward: int | None
    headroom: float


def favoured_group(
    train: TrainCounts, table: np.ndarray, min_positives: int = MIN_POSITIVES, min_gap: Fraction = MIN_GAP
) -> tuple[int | None, str]:
    """The group that the attribute goes with in the training data, or None and the reason why there is none.

    Compared in whole numbers: with rates a1/n1 and a0/n0, u = a1 n0 and v = a0 n1, there is none if u = v or
    ``|u - v| / min(u, v) < min_gap`` strictly.  Floating point would drop most of the gaps of exactly 10 %.

    Args:
        train: counts of the training data.
        table: ``n[g, y, prediction]`` of the test data, shape (2, 2, 2).
        min_positives: true test positives that each group needs.
        min_gap: smallest relative gap.
    """
    if train.n1 == 0 or train.n0 == 0:
        return None, "empty_train_group"
    if int(table[:, 1].sum(axis=1).min()) < min_positives:
        return None, "too_few_positives"
    u, v = train.positives1 * train.n0, train.positives0 * train.n1
    if u == v or min_gap.denominator * abs(u - v) < min_gap.numerator * min(u, v):
        return None, "no_train_gap"
    return int(u > v), ""


def bias_amplification(
    table: np.ndarray, train: TrainCounts, *, min_positives: int = MIN_POSITIVES, min_gap: Fraction = MIN_GAP
) -> BiasAmplification:
    """The favoured group's share of the predicted positives less its share of the true positives.

    ``BA = #(prediction = 1, A = g*) / #(prediction = 1) - #(y = 1, A = g*) / #(y = 1)`` on the test samples, where g*
    is the group with the higher training rate.  Below 0 the model reduces the bias of the data.

    Args:
        table: ``n[g, y, prediction]``, shape (2, 2, 2), of the test samples.
        train: counts of the training data.
        min_positives: true test positives that each group needs, at least (too_few_positives).
        min_gap: relative gap of the training rates below which there is no direction (no_train_gap).
    """
    toward, reason = favoured_group(train, table, min_positives, min_gap)
    if toward is None:
        return BiasAmplification(float("nan"), reason, None, float("nan"))
    found = directed_ba(table, toward)
    return BiasAmplification(found.value, found.reason, toward, ba_bounds(table, toward)[1])


def directed_ba(table: np.ndarray, toward: int) -> Value:
    """Bias amplification toward a given group, without any test of sizes and gaps.

    ``table`` has the shape that :func:`bias_amplification` takes.
    """
    predicted, true = table[:, :, 1].sum(axis=1), table[:, 1].sum(axis=1)
    if true.sum() == 0:
        return undefined("too_few_positives")
    if predicted.sum() == 0:
        return undefined("never_predicted")
    return Value(float(predicted[toward] / predicted.sum() - true[toward] / true.sum()))


def ba_bounds(table: np.ndarray, toward: int) -> tuple[float, float]:
    """The least and the largest bias amplification that any predictions could have here: -b and 1 - b.

    ``table`` has the shape that :func:`bias_amplification` takes.
    """
    true = table[:, 1].sum(axis=1)
    share = float(true[toward] / true.sum()) if true.sum() else float("nan")
    return -share, 1 - share


def backdoor_ba(table: np.ndarray) -> Value:
    """Bias amplification of a planted feature: ``table`` counts ``n[planted, y, prediction]``, shape (2, 2, 2).

    The direction is always that of the feature, and there is no test of sizes and gaps (``single_label.py``).
    """
    if table[1].sum() == 0 or table[:, 1].sum() == 0:
        return undefined("no_planted")
    return directed_ba(table, 1)
