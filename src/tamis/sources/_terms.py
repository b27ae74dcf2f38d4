"""What one source contributes to the objectives of a pair: sums over its rows, in its own coordinates.

Every objective is one term per source, so rows never need to meet.  A logit is ``f = c_0 + x . c`` with x minus the
source's centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from tamis.sources._merging import Floats
from tamis.sources._packing import PackedSource

CLIP = 20.0  # logits of the published disparity are clipped here, with gradient 0 outside
ZERO_LOGIT = 1e-9  # a logit this close to 0 counts as 0, so that rounding decides no prediction


class Term(IntEnum):
    """The sums that a source can be asked for."""

    LABEL = 0
    """Mean cross-entropy with target y."""
    LABEL_FLIPPED = 1
    """The same with target 1 - y."""
    GROUP = 2
    """Cross-entropy with target 1[a = 0], half the mean of each group."""
    GROUP_FLIPPED = 3
    """The same with target 1[a = 1]."""
    GROUP_SUM = 4
    """Sum (not mean, not balanced) of the cross-entropy with target 1[a = 0]."""
    GROUP_CLIPPED = 5
    """GROUP with clipped logits."""
    GAP = 6
    """Mean sigmoid of group 0 minus that of group 1, with clipped logits."""
    DECISIONS = 7
    """Counts of hard predictions."""


class Question(NamedTuple):
    """What a source is asked: a sum at coefficients ``(d + 1,)``, intercept first, with a Hessian or without."""

    term: Term
    coefficients: Floats
    hessian: bool = False


@dataclass(frozen=True)
class Answer:
    """The sum and its derivatives.

    Attributes:
        value: the sum; for ``DECISIONS`` the number of wrong predictions.
        gradient: float64 ``(d + 1,)``; for ``DECISIONS`` float64 ``(2,)``, positive predictions in group 0 and 1.
        hessian: float64 ``(d + 1, d + 1)`` if asked for, else None.
    """

    value: float
    gradient: Floats
    hessian: Floats | None = None


def answer(source: PackedSource, question: Question) -> Answer:
    """The NumPy answer of a source to one question."""
    coefficients = question.coefficients
    logits = source.rows @ coefficients[1:] + coefficients[0]
    if question.term is Term.DECISIONS:
        return _decisions(source, logits)
    if question.term is Term.GAP:
        return _gap(source, logits)
    weight, target = _weights(source, question.term)
    outside = None
    if question.term is Term.GROUP_CLIPPED:
        outside = np.abs(logits) > CLIP
        logits = np.clip(logits, -CLIP, CLIP)
    small = np.exp(-np.abs(logits))
    sigmoid = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    value = float(weight @ (np.maximum(logits, 0.0) + np.log1p(small)) - target @ logits)
    residual = weight * sigmoid - target
    if outside is not None:
        residual[outside] = 0.0
    hessian = None
    if question.hessian:
        hessian = _hessian(source.rows, weight * sigmoid * (1.0 - sigmoid))
    return Answer(value, np.concatenate([[residual.sum()], residual @ source.rows]), hessian)


def _weights(source: PackedSource, term: Term) -> tuple[Floats, Floats]:
    """Row weights W and targets T of the loss sum(W log(1 + e^f) - T f)."""
    counts, summary = source.counts, source.summary
    if term in (Term.LABEL, Term.LABEL_FLIPPED):
        weight, target = counts.sum(axis=1) / summary.size, (counts[:, 2] + counts[:, 3]) / summary.size
        return weight, target if term is Term.LABEL else weight - target
    zero, one = counts[:, 0] + counts[:, 2], counts[:, 1] + counts[:, 3]
    if term is Term.GROUP_SUM:
        return zero + one, zero
    of_zero, of_one = summary.group_sizes
    zero, one = zero / (2 * of_zero), one / (2 * of_one)
    return zero + one, one if term is Term.GROUP_FLIPPED else zero


def _gap(source: PackedSource, logits: Floats) -> Answer:
    weight, target = _weights(source, Term.GROUP)
    signed = 4.0 * target - 2.0 * weight  # 1 / n_0 for group 0, -1 / n_1 for group 1
    outside = np.abs(logits) > CLIP
    sigmoid = 1.0 / (1.0 + np.exp(-np.clip(logits, -CLIP, CLIP)))
    slope = signed * sigmoid * (1.0 - sigmoid)
    slope[outside] = 0.0
    return Answer(float(signed @ sigmoid), np.concatenate([[slope.sum()], slope @ source.rows]))


def _decisions(source: PackedSource, logits: Floats) -> Answer:
    counts, positive = source.counts, logits >= -ZERO_LOGIT
    of = np.where(positive[:, None], counts, 0.0).sum(axis=0)
    wrong = of[0] + of[1] + (counts[:, 2] + counts[:, 3])[~positive].sum()
    return Answer(float(wrong), np.array([of[0] + of[2], of[1] + of[3]]))


def _hessian(rows: Floats, curvature: Floats) -> Floats:
    columns = rows.shape[1]
    hessian = np.empty((columns + 1, columns + 1))
    scaled = curvature[:, None] * rows
    hessian[0, 0] = curvature.sum()
    hessian[0, 1:] = hessian[1:, 0] = scaled.sum(axis=0)
    hessian[1:, 1:] = scaled.T @ rows
    return hessian
