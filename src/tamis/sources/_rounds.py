"""Many pairs at once: all ask, every source answers one batch, and so on until all pairs are done.

Where a source lives does not matter: here it may be an array in memory or a client far away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tamis.sources._packing import SourceSummary
from tamis.sources._pair import Ask, Asking, PairEstimate, Wanted, estimate_pair
from tamis.sources._terms import Answer, Question

# Answers of several sources to their batches, in the order of the questions.
AnswerAll = Callable[[Mapping[int, Sequence[Question]]], Mapping[int, Sequence[Answer]]]

COLUMNS = ("discrepancy", "signed", "published with the first for the loss", "published with the second")


def orient(pairs: NDArray[np.int64], summaries: Sequence[SourceSummary]) -> NDArray[np.bool_]:
    """Which pairs ``(P, 2)`` to turn round before solving: what comes first is decided by content, not by place."""
    keys = [summary.key for summary in summaries]
    return np.array([keys[j] < keys[i] for i, j in pairs.tolist()], dtype=bool)


def estimate_in_rounds(
    summaries: Sequence[SourceSummary], pairs: NDArray[np.int64], wanted: Wanted, answer_all: AnswerAll
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Estimate oriented pairs.

    Args:
        summaries: of all sources.
        pairs: int64 ``(P, 2)``, indices into ``summaries``.
        wanted: which estimates.
        answer_all: gives each source its questions of a round and returns the answers.

    Returns:
        float64 ``(P, 4)`` with the columns of ``COLUMNS`` and int64 ``(P,)``, fits that hit a limit.
    """
    values = np.full((len(pairs), 4), np.nan)
    failed = np.zeros(len(pairs), dtype=np.int64)
    asking: dict[int, tuple[Asking, list[Ask]]] = {}
    for p, (i, j) in enumerate(pairs.tolist()):
        solver = estimate_pair(summaries[i], summaries[j], wanted)
        try:
            asking[p] = (solver, next(solver))
        except StopIteration as end:
            _store(values, failed, p, end.value)
    while asking:
        batches: dict[int, list[Question]] = {}
        for p, (_, asks) in asking.items():
            for ask in asks:
                batches.setdefault(int(pairs[p, ask.side]), []).append(ask.question)
        answers = {source: iter(batch) for source, batch in answer_all(batches).items()}
        going: dict[int, tuple[Asking, list[Ask]]] = {}
        for p, (solver, asks) in asking.items():
            replies = [next(answers[int(pairs[p, ask.side])]) for ask in asks]
            try:
                going[p] = (solver, solver.send(replies))
            except StopIteration as end:
                _store(values, failed, p, end.value)
        asking = going
    return values, failed


def _store(values: NDArray[np.float64], failed: NDArray[np.int64], p: int, found: PairEstimate) -> None:
    values[p] = (found.discrepancy, found.signed, *found.published)
    failed[p] = found.not_converged
