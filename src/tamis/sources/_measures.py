"""How accurate and how fair decisions are on a test set with two groups."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

Array = np.ndarray[Any, Any]


def fairness_measures(y: Array, decisions: Array, a: Array, scores: Array | None = None) -> dict[str, float]:
    """Accuracy and violations of demographic parity, equal opportunity and equalised odds.

    Args:
        y: 0 or 1, shape (n,).
        decisions: 0 or 1, shape (n,).
        a: group 0 or 1, shape (n,).
        scores: larger for more likely positive, shape (n,); for the area under the ROC curve.

    Returns:
        ``accuracy``; ``dp_violation`` (difference of the groups' positive rates) and ``fairness`` (1 minus it);
        ``eo_violation`` (difference of true-positive rates); ``eodds_violation`` (the larger of the differences of
        true- and false-positive rates); ``auc``, NaN without scores; ``data_pr`` and ``cls_pr`` (shares of y = 1 and of
        positive decisions); ``group0_ratio`` (share of a = 0).  NaN where a cell is empty.
    """
    groups = [a == 0, a == 1]
    positive = [_share(decisions[group]) for group in groups]
    hits = [_share(decisions[group & (y == 1)]) for group in groups]
    alarms = [_share(decisions[group & (y == 0)]) for group in groups]
    dp, eo, fp = (abs(pair[0] - pair[1]) for pair in (positive, hits, alarms))
    both = len(np.unique(y)) == 2
    return {
        "accuracy": float((decisions == y).mean()),
        "fairness": 1 - dp,
        "dp_violation": dp,
        "eo_violation": eo,
        "eodds_violation": math.nan if math.isnan(eo) or math.isnan(fp) else max(eo, fp),
        "auc": float(roc_auc_score(y, scores)) if scores is not None and both else math.nan,
        "data_pr": float(np.mean(y == 1)),
        "cls_pr": float(np.mean(decisions == 1)),
        "group0_ratio": float(np.mean(a == 0)),
    }


def _share(decisions: Array) -> float:
    return float(np.mean(decisions == 1)) if len(decisions) else math.nan
