"""From distances between sources to the sources to keep.

Source: FLEA (TMLR 2022), algorithm 1, for a known number of clean sources; growth from a core is this project's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError

Floats = NDArray[np.float64]

SPREAD = 4 * 1.4826  # four standard deviations, estimated from the median absolute deviation
SLACK = 1e-12


def majority(sources: int) -> int:
    """floor(N / 2) + 1: all that the guarantee covers without knowledge."""
    return sources // 2 + 1


def number_to_keep(n_clean: int | float | str | None, sources: int) -> int:
    """K of ``n_clean``: a number of sources, a fraction of them that is kept (rounded up), or None for the majority.

    ``"auto"`` begins with the majority too.

    Raises:
        UsageError: it is no such number, or more than there are sources.
    """
    if n_clean is None or n_clean == "auto":
        return majority(sources) if sources > 1 else sources
    if isinstance(n_clean, (bool, np.bool_, str)) or not isinstance(n_clean, (int, float, np.integer, np.floating)):
        raise UsageError(f"n_clean={n_clean!r}: expected a number of sources, a fraction in (0, 1), None or 'auto'")
    if isinstance(n_clean, (float, np.floating)):
        if not 0 < n_clean <= 1:
            raise UsageError(f"n_clean={n_clean!r}: as a fraction of sources to keep it must lie in (0, 1]")
        return min(sources, math.ceil(round(n_clean * sources, 9)))
    if not 1 <= n_clean <= sources:
        raise UsageError(f"n_clean={n_clean!r}: expected 1 to {sources}, the number of sources")
    return int(n_clean)


def scores(distances: Floats, keep: int) -> Floats:
    """q_i, the ``keep``-th smallest distance of source i including the zero to itself.

    Distances that were not computed (NaN, with reference sources) are left out and ``keep`` shrinks in proportion.

    Args:
        distances: float64 ``(N, N)`` with a zero diagonal.
        keep: K, 1 to N.
    """
    sources = len(distances)
    known = np.isfinite(distances).sum(axis=1)
    ordered = np.sort(distances, axis=1)  # NaN last
    place = np.ceil(np.round(keep * known / sources, 9)).astype(int)
    return ordered[np.arange(sources), np.clip(place, 1, known) - 1]


def smallest(q: Floats, keep: int) -> NDArray[np.int64]:
    """Indices of the ``keep`` smallest scores, best first; among equals the lower index."""
    return np.argsort(q, kind="stable")[:keep]


def grow_from_core(distances: Floats) -> NDArray[np.bool_]:
    """Sources to keep when the number of clean ones is not known: the majority, and all that lie as near to it.

    A source enters whose median distance to the kept ones is at most the median of theirs plus four robust standard
    deviations, until none enters.  None leaves.

    Args:
        distances: float64 ``(N, N)``; NaN where not computed.

    Returns:
        bool ``(N,)``.
    """
    sources = len(distances)
    core = number_to_keep(None, sources)
    kept = np.zeros(sources, dtype=bool)
    kept[smallest(scores(distances, core), core)] = True
    while not kept.all():
        to_kept = np.array([_median(distances[kept & (np.arange(sources) != j), j]) for j in range(sources)])
        of_kept = to_kept[kept]
        centre = _median(of_kept)
        near = to_kept <= centre + SPREAD * _median(np.abs(of_kept - centre)) + SLACK
        if not (near & ~kept).any():
            break
        kept |= near
    return kept


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.inf


def ranks(q: Floats) -> NDArray[np.int64]:
    """Place of each source, 1 for the smallest score; among equals the lower index comes before."""
    place = np.empty(len(q), dtype=np.int64)
    place[np.argsort(q, kind="stable")] = np.arange(1, len(q) + 1)
    return place
