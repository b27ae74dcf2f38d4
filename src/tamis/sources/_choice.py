"""The sources that are kept, with scores and ranks, from the distances between them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.sources import _selection

NO_GUARANTEE = (
    "n_clean keeps {keep} of {sources} sources; with half or fewer there is no guarantee that any kept source is clean"
)
FEW_SOURCES = "with {sources} sources no majority can be told from a minority: all are kept, or the choice is arbitrary"


@dataclass(frozen=True)
class Choice:
    """Which of N sources are kept.

    Attributes:
        support: bool ``(N,)``, True for kept sources.
        scores: float64 ``(N,)``, q; of the majority where the number of clean sources is not known.
        ranking: int64 ``(N,)``, 1 for the smallest score.
    """

    support: NDArray[np.bool_]
    scores: NDArray[np.float64]
    ranking: NDArray[np.int64]


def choose(distances: NDArray[np.float64], n_clean: int | float | str | None) -> Choice:
    """Keep the sources of smallest score, or grow from the majority if ``n_clean`` is ``"auto"``.

    Warns where no choice can be trusted: fewer than three sources, or half of them or fewer kept.

    Args:
        distances: float64 ``(N, N)`` with a zero diagonal; NaN where not compared.
        n_clean: as for :class:`tamis.sources.FLEA`.

    Raises:
        UsageError: ``n_clean`` does not fit the number of sources.
    """
    sources = len(distances)
    if sources < 3:
        warnings.warn(FEW_SOURCES.format(sources=sources), UserWarning, stacklevel=4)
    if n_clean == "auto":
        support = _selection.grow_from_core(distances)
        scores = _selection.scores(distances, _selection.majority(sources))
    else:
        keep = _selection.number_to_keep(n_clean, sources)
        if 2 * keep <= sources:
            warnings.warn(NO_GUARANTEE.format(keep=keep, sources=sources), UserWarning, stacklevel=4)
        scores = _selection.scores(distances, keep)
        support = np.zeros(sources, dtype=bool)
        support[_selection.smallest(scores, keep)] = True
    return Choice(support, scores, _selection.ranks(scores))
