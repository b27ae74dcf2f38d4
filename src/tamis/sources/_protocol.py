"""The published protocol: one split for each seed, equal parts as sources, and which of them are bad."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tamis.errors import UsageError
from tamis.sources._source import Array, Source
from tamis.sources._tabular import TabularData


class Split(NamedTuple):
    """Training sources and a clean test part."""

    sources: list[Source]
    test: Source


def split_sources(data: TabularData, seed: int, n_sources: int) -> Split:
    """Test part and sources of one seed.

    Without sources of its own the rows are permuted by ``RandomState(seed)``; the first fifth (rounded up) is the test
    part, the rest is cut into ``n_sources`` parts that differ by at most one row.  With sources of its own (acs51: the
    states, sorted) one generator permutes each, takes at most 5,000 rows, trains on the first 80 % and pools the rest.

    Raises:
        UsageError: fewer rows than sources, or another number of sources than the data have.
    """
    random = np.random.RandomState(seed)
    if data.sources is None:
        n = len(data.y)
        order = random.permutation(n)
        held_out = -(-n // 5)
        if not 1 <= n_sources <= n - held_out:
            raise UsageError(f"n_sources = {n_sources}: {data.name} has {n - held_out} training rows")
        parts = np.array_split(order[held_out:], n_sources)
        return Split([_rows(data, part) for part in parts], _rows(data, order[:held_out]))
    labels = np.unique(data.sources)
    if n_sources != len(labels):
        raise UsageError(f"n_sources = {n_sources}: {data.name} has {len(labels)} sources of its own")
    train, test = [], []
    for label in labels:
        rows = np.flatnonzero(data.sources == label)
        rows = rows[random.permutation(len(rows))][:5000]
        cut = int(0.8 * len(rows))
        train.append(_rows(data, rows[:cut]))
        test.append(rows[cut:])
    return Split(train, _rows(data, np.concatenate(test)))


def bad_sources(seed: int, n_sources: int, n_bad: int) -> list[int]:
    """Positions of the sources that the adversary manipulates, sorted; drawn by ``default_rng(seed)``.

    UsageError if there are not so many sources.

    >>> bad_sources(0, 5, 2), bad_sources(1, 5, 2)
    ([3, 4], [1, 2])
    """
    if not 0 <= n_bad <= n_sources:
        raise UsageError(f"n_bad = {n_bad}: expected 0 to {n_sources}, the number of sources")
    return sorted(np.random.default_rng(seed).choice(range(n_sources), size=n_bad, replace=False).tolist())


def _rows(data: TabularData, rows: Array) -> Source:
    return Source(data.X[rows], data.y[rows], data.a[rows])
