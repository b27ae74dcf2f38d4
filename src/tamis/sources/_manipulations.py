"""What the published adversaries do to one source; the order of their random draws is part of the definition.

All draws come from a legacy ``numpy.random.RandomState``: a permutation P(n) is ``permutation(n)``, and k of m without
replacement are ``permutation(m)[:k]``.  Every function leaves its inputs as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tamis.errors import UsageError
from tamis.sources._source import Source, pooled, with_groups

# (source, pool of all sources before any manipulation, column of X that holds a or None, random numbers) -> source
Manipulation = Callable[[Source, Source, "int | None", np.random.RandomState], Source]


def nothing(source: Source, pool: Source, column: int | None, random: np.random.RandomState) -> Source:
    """ID: a copy."""
    return Source(source.X.copy(), source.y.copy(), source.a.copy())


def flip_protected(source: Source, pool: Source, column: int | None, random: np.random.RandomState) -> Source:
    """FP: ``a ← 1 - a``."""
    return with_groups(source, 1 - source.a, column)


def flip_target(source: Source, pool: Source, column: int | None, random: np.random.RandomState) -> Source:
    """FL: ``y ← 1 - y``."""
    return Source(source.X.copy(), 1 - source.y, source.a.copy())


def flip_both(source: Source, pool: Source, column: int | None, random: np.random.RandomState) -> Source:
    """FB: both flips."""
    return with_groups(flip_target(source, pool, column, random), 1 - source.a, column)


def shuffle_protected(source: Source, pool: Source, column: int | None, random: np.random.RandomState) -> Source:
    """SP: the groups in random order, by two permutations one after the other."""
    n = len(source.a)
    first = random.permutation(n)
    second = random.permutation(n)
    return with_groups(source, source.a[first][second], column)


def copy_target_over_protected(
    source: Source, pool: Source, column: int | None, random: np.random.RandomState
) -> Source:
    """OP ("copy#protected#target"): ``a ← y``; the README of the published code states the reverse."""
    return with_groups(source, source.y, column)


def copy_protected_over_target(
    source: Source, pool: Source, column: int | None, random: np.random.RandomState
) -> Source:
    """OL ("copy#target#protected"): ``y ← a``."""
    return Source(source.X.copy(), source.a.copy(), source.a.copy())


def resample(v: int) -> Manipulation:
    """RP: whole rows are replaced so that group ``v`` has positive rows only and the other one negative rows only."""

    def manipulation(source: Source, pool: Source, column: int | None, random: np.random.RandomState) -> Source:
        X, y, a = source.X.copy(), source.y.copy(), source.a.copy()
        for group, label in ((v, 0), (1 - v, 1)):
            places = np.flatnonzero((source.a == group) & (source.y == label))
            rows = np.flatnonzero((pool.a == group) & (pool.y == 1 - label))
            if len(places) and not len(rows):
                raise UsageError(
                    f"resample#{v}: no source has a row of group {group} with label {1 - label} to replace others with"
                )
            # As often as more rows are wanted than the pool has, all of it in order; the rest is drawn.
            taken = np.tile(rows, (len(places) - 1) // len(rows) if len(places) else 0)
            left = len(places) - len(taken)
            taken = np.concatenate([taken, rows[random.permutation(len(rows))[:left]]])
            X[places], y[places], a[places] = pool.X[taken], pool.y[taken], pool.a[taken]
        return Source(X, y, a)

    return manipulation


def random_anchor(v: int) -> Manipulation:
    """RA (Mehrabi et al., AAAI 2021): the source becomes two clusters of rows near two of its own rows.

    Around a random row with a ≠ v, y = 0 stand as many rows with a ≠ v, y = 1 as the source has negative labels; around
    one with a = v, y = 1 as many with a = v, y = 0 as it has positive ones.  Where the pool has fewer, all of them are
    repeated whole, so that the source can grow.
    """

    def manipulation(source: Source, pool: Source, column: int | None, random: np.random.RandomState) -> Source:
        parts = []
        for group, label in ((1 - v, 0), (v, 1)):
            anchors = np.flatnonzero((source.a == group) & (source.y == label))
            rows = np.flatnonzero((pool.a == group) & (pool.y == 1 - label))
            wanted = int((source.y == label).sum())
            if not len(anchors):
                raise UsageError(
                    f"randomanchor#{v}: no row of group {group} with label {label} in the source, as anchor"
                )
            if not len(rows):
                raise UsageError(f"randomanchor#{v}: no source has a row of group {group} with label {1 - label}")
            anchor = source.X[anchors[random.permutation(len(anchors))[0]]]
            near = rows[np.argsort(((pool.X[rows] - anchor) ** 2).sum(axis=1), kind="stable")]
            parts.append(near[:wanted] if wanted <= len(rows) else np.tile(near, -(-wanted // len(rows))))
        taken = np.concatenate(parts)
        return Source(pool.X[taken], pool.y[taken], pool.a[taken])

    return manipulation


# Published names, in the order of the tables.
MANIPULATIONS: dict[str, Manipulation] = {
    "none": nothing,
    "flip#protected": flip_protected,
    "flip#target": flip_target,
    "flip#protected#target": flip_both,
    "shuffle#protected": shuffle_protected,
    "copy#protected#target": copy_target_over_protected,
    "copy#target#protected": copy_protected_over_target,
    "resample#1": resample(1),
    "randomanchor#0": random_anchor(0),
    "randomanchor#1": random_anchor(1),
}
RANDOM = "random"
# Short codes of the paper's tables.
CODES = {
    "none": "ID", "flip#protected": "FP", "flip#target": "FL", "flip#protected#target": "FB", "shuffle#protected": "SP",
    "copy#protected#target": "OP", "copy#target#protected": "OL", "resample#1": "RP", "randomanchor#0": "RA0",
    "randomanchor#1": "RA1", RANDOM: "RND",
}  # fmt: skip
ADVERSARIES = tuple(CODES)
# What "random" draws from, in order: in the published code, and in the runs behind the published results, which are
# older: their rows fit the draws from the first seven, and no others (docs/flea_study.md).
DRAWN_IN_CODE = tuple(MANIPULATIONS)[1:]
DRAWN_IN_RESULTS = DRAWN_IN_CODE[:7]


def manipulate(
    sources: Sequence[Source],
    name: str,
    bad: Sequence[int],
    column: int | None,
    random: np.random.RandomState,
    drawn: Sequence[str] = DRAWN_IN_CODE,
) -> tuple[list[Source], list[str]]:
    """The sources after adversary ``name`` has manipulated those with the numbers ``bad``, in order.

    Args:
        sources: left as they are.
        name: one of :data:`ADVERSARIES`.
        bad: positions in ``sources``.
        column: column of ``X`` that holds the group and is kept in step; None if there is none.
        random: advanced; "random" draws for every source, the clean ones too.
        drawn: what "random" draws from.

    Returns:
        New sources, and for each the name of what was done to it.

    Raises:
        UsageError: an unknown name or position, or a source without the rows that the adversary needs.
    """
    if name not in ADVERSARIES:
        raise UsageError(f"adversary {name!r}: expected one of {', '.join(ADVERSARIES)}")
    if wrong := [number for number in bad if not 0 <= number < len(sources)]:
        raise UsageError(f"bad sources {wrong}: there are {len(sources)} sources, counted from 0")
    pool, result = pooled(sources), []
    done = []
    for number, source in enumerate(sources):
        chosen = drawn[random.randint(len(drawn))] if name == RANDOM else name
        done.append(chosen if number in bad else "none")
        result.append(MANIPULATIONS[done[-1]](source, pool, column, random))
    return result, done
