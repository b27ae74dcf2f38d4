"""Rows of many sources: which rows belong to whom."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.errors import UsageError
from tamis.sources._arguments import column_of

Array = np.ndarray[Any, Any]


def rows_of_sources(sources: Any, n: int) -> tuple[Array, list[Array]]:
    """The sorted source labels and the row numbers of each; None is one source with the label 0.

    Raises:
        UsageError: more than one column, a missing label, or another number of labels than ``n``.
    """
    if sources is None:
        return np.zeros(1, dtype=int), [np.arange(n)]
    column = column_of(sources, "sources", n)
    labels, coded = np.unique(column, return_inverse=True)
    return labels, [np.flatnonzero(coded.reshape(-1) == number) for number in range(len(labels))]


def known_sources(wanted: Any, labels: Array, what: str) -> Array:
    """A mask over ``labels`` of those in ``wanted``.

    Raises:
        UsageError: a label of ``wanted`` is none of ``labels``.
    """
    asked = np.atleast_1d(np.asarray(wanted))
    known = set(labels.tolist())
    unknown = [label for label in asked.tolist() if label not in known]
    if unknown:
        raise UsageError(f"{what} = {unknown}: no such source; the data have {labels.tolist()[:20]}")
    chosen = set(asked.tolist())
    return np.array([label in chosen for label in labels.tolist()], dtype=bool)
