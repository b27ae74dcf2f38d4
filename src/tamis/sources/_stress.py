"""Stress test of one's own sources: which manipulations the sieve would notice, at which share of bad sources."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from tamis.errors import UsageError
from tamis.sources._flea import FLEA
from tamis.sources._manipulations import ADVERSARIES, manipulate
from tamis.sources._pooling import rows_of_sources
from tamis.sources._source import Array, Source, as_source

ATTACKS = tuple(name for name in ADVERSARIES if name != "none")
SHARES = (0.1, 0.2, 0.3, 0.4)


@dataclass(frozen=True)
class StressResult:
    """What became of one adversary at one share of bad sources, over all trials.

    Attributes:
        adversary: its published name.
        share: of bad sources that was asked for.
        n_bad: manipulated sources in each trial.
        trials: that were run.
        skipped: trials whose sources lack the rows that this adversary needs; not in the numbers below.
        caught: share of the manipulated sources that were rejected; NaN if all trials were skipped.
        caught_all: share of the trials in which all of them were.
        lost: share of the other sources, of those kept before any manipulation, that were rejected.
        bad_frac: share of manipulated sources among the kept ones.
    """

    adversary: str
    share: float
    n_bad: int
    trials: int
    skipped: int
    caught: float
    caught_all: float
    lost: float
    bad_frac: float


@dataclass(frozen=True)
class Stress:
    """Names of the sources that are rejected without any manipulation, and one result per adversary and share."""

    sources: tuple[Any, ...]
    rejected_before: tuple[Any, ...]
    results: tuple[StressResult, ...]


def stress_sources(
    X: Any,
    y: Any,
    *,
    sensitive_features: Any,
    sources: Any,
    adversaries: Sequence[str] = ATTACKS,
    shares: Sequence[float] = SHARES,
    trials: int = 5,
    selector: FLEA | None = None,
    random_state: int = 0,
    progress: Callable[[], object] | None = None,
) -> Stress:
    """Manipulate random sources of a table and see whether the selector rejects them.

    Sources that the selector rejects as they are may be bad already: they are left alone and not counted.  Bad sources
    are drawn from the others, ``round(share · N)`` of them, at least one; every adversary meets the same draws.

    Args:
        X: numbers, shape (n, d), best without the sensitive feature, which the selector appends.
        y: 0 or 1, shape (n,).
        sensitive_features: 0 or 1, shape (n,).
        sources: labels, shape (n,).
        adversaries: published names (:data:`ADVERSARIES`).
        shares: of bad sources among all N, each in (0, 1).
        trials: draws of bad sources for each share.
        selector: None for ``FLEA(n_clean="auto", on_empty_group="max")``, which does not know how many sources are bad.
        random_state: seed of all draws.
        progress: called after every trial.

    Raises:
        UsageError: an argument does not fit, or fewer than three sources are kept without manipulation.
    """
    whole = as_source(X, y, sensitive_features)
    labels, rows = rows_of_sources(sources, len(whole.y))
    parts = [Source(whole.X[part], whole.y[part], whole.a[part]) for part in rows]
    _check(adversaries, shares, trials)
    sieve = FLEA(n_clean="auto", on_empty_group="max") if selector is None else selector
    before = _kept(sieve, parts)
    candidates = np.flatnonzero(before)
    if len(candidates) < 3:
        raise UsageError(f"of {len(labels)} sources {len(candidates)} are kept as they are; a stress test needs three")
    results = []
    for share in shares:
        n_bad = max(round(share * len(labels)), 1)
        if n_bad >= len(candidates):
            raise UsageError(
                f"share {share}: {n_bad} bad sources of {len(labels)}, but only {len(candidates)} are kept as they "
                "are; take smaller shares"
            )
        draws = np.random.default_rng(random_state)
        bad = [np.sort(draws.choice(candidates, n_bad, replace=False)) for _ in range(trials)]
        for name in adversaries:
            found = []
            for trial, chosen in enumerate(bad):
                found.append(_trial(sieve, parts, name, chosen, before, random_state + trial))
                if progress is not None:
                    progress()
            results.append(_summary(name, share, n_bad, found))
    names = labels.tolist()
    rejected = tuple(name for name, kept in zip(names, before, strict=True) if not kept)
    return Stress(tuple(names), rejected, tuple(results))


def _check(adversaries: Sequence[str], shares: Sequence[float], trials: int) -> None:
    unknown = [name for name in adversaries if name not in ADVERSARIES]
    if unknown or not adversaries:
        raise UsageError(f"adversaries {unknown}: expected some of {', '.join(ATTACKS)}")
    if not shares or not all(0 < share < 1 for share in shares):
        raise UsageError(f"shares {list(shares)}: expected numbers between 0 and 1")
    if trials < 1:
        raise UsageError(f"trials {trials}: expected at least 1")


def _kept(sieve: FLEA, parts: Sequence[Source]) -> Array:
    """Which sources the selector keeps: bool, shape (N,)."""
    numbers = np.repeat(np.arange(len(parts)), [len(part.y) for part in parts])
    X, y, a = (np.concatenate([part[place] for part in parts]) for place in range(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about few sources: the table says what comes of it
        return clone(sieve).fit(X, y, sensitive_features=a, sources=numbers).support_


def _trial(
    sieve: FLEA, parts: Sequence[Source], name: str, bad: Array, before: Array, seed: int
) -> tuple[float, float, float] | None:
    """Shares caught and lost, and of bad among kept; None where the adversary cannot act."""
    try:
        changed, _ = manipulate(parts, name, bad.tolist(), None, np.random.RandomState(seed))
    except UsageError:
        return None
    kept = _kept(sieve, changed)
    manipulated = np.zeros(len(parts), dtype=bool)
    manipulated[bad] = True
    others = before & ~manipulated
    return float((~kept[bad]).mean()), float((~kept[others]).mean()), float((kept & manipulated).sum() / kept.sum())


def _summary(name: str, share: float, n_bad: int, found: Sequence[tuple[float, float, float] | None]) -> StressResult:
    done = np.array([item for item in found if item is not None])
    skipped = len(found) - len(done)
    if not len(done):
        nan = float("nan")
        return StressResult(name, share, n_bad, len(found), skipped, nan, nan, nan, nan)
    caught, lost, bad_frac = done.mean(axis=0).tolist()
    return StressResult(
        name, share, n_bad, len(found), skipped, caught, float((done[:, 0] == 1).mean()), lost, bad_frac
    )
