"""Checks that all fair learners share: two classes, two groups, and the column that holds the group."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.errors import UsageError
from tamis.sources._arguments import column_of

Array = np.ndarray[Any, Any]


def two_classes(y: Array) -> tuple[Array, Array]:
    """The two sorted labels of ``y`` and 0 or 1 for each row.

    Raises:
        UsageError: not exactly two classes.
    """
    classes, coded = np.unique(y, return_inverse=True)
    if len(classes) > 2:
        # scikit-learn's own checks look for this beginning.
        raise UsageError(
            "Only binary classification is supported. The type of the target is multiclass: "
            f"y has {len(classes)} classes"
        )
    if len(classes) < 2:
        raise UsageError(f"y has one class only, {classes.tolist()}; expected two")
    return classes, coded.reshape(-1)


def two_groups(sensitive_features: Any, X: Array) -> tuple[Array, Array]:
    """The two sorted values of the sensitive feature and 0 or 1 for each row of ``X``.

    Raises:
        UsageError: none given, a missing value, another number of rows than ``X``, or not exactly two groups.
    """
    if sensitive_features is None:
        raise UsageError("this learner needs sensitive_features: one value for each row, of two groups")
    column = column_of(sensitive_features, "sensitive_features", len(X))
    groups, coded = np.unique(column, return_inverse=True)
    if len(groups) != 2:
        raise UsageError(f"sensitive_features has {len(groups)} groups, {groups.tolist()[:5]}; expected two")
    return groups, coded.reshape(-1)


def group_column(X: Array, a: Array, given: int | None) -> int:
    """The column of ``X`` that equals the coded group ``a`` (0 or 1): ``given``, or the last such column.

    Raises:
        UsageError: that column does not hold ``a``, or none does.
    """
    if given is None:
        same = np.flatnonzero((a[:, None] == X).all(axis=0))
        if not len(same):
            raise UsageError("no column of X equals the sensitive feature (0 and 1); append it to X as a column")
        return int(same[-1])
    if not -X.shape[1] <= given < X.shape[1]:
        raise UsageError(f"sensitive_column = {given}: X has {X.shape[1]} columns")
    if not np.array_equal(X[:, given], a):
        raise UsageError(f"sensitive_column = {given}: that column of X does not hold the sensitive feature as 0 and 1")
    return given % X.shape[1]
