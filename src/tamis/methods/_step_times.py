"""Measured time of the steps of a run, for the last rows of the ledger."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Steps that a median is taken over: the latest of a stretch, so that a run of millions of steps needs no more memory.
_REMEMBERED = 10_000


class StepTimes:
    """CPU and wall seconds from the end of one optimizer step to the end of the next, by stretch of the run.

    What lies between two steps is the user's: data, forward and backward pass, sometimes an evaluation.  Each stretch
    therefore keeps the *median* step (of its last 10,000), which a few evaluations do not move; mask changes are timed
    apart and add up.
    The first step after :meth:`Sparsifier.attach` has no beginning and is counted, not timed.  CPU time is that of all
    threads of the process.

    Rows are dicts of JSON types: ``phase``, ``steps``, ``cpu_s`` and ``wall_s`` of the median step (None where no step
    was timed), ``change_cpu_s`` and ``change_wall_s`` of all mask changes of the stretch.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._steps = 0
        self._timed: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        self._changes = (0.0, 0.0)
        self._mark: tuple[float, float] | None = None

    def step_ended(self) -> None:
        """Note the end of a step; what follows until :meth:`step_begins` is a mask change."""
        now = _now()
        if self._mark is not None:
            self._timed.append(_since(self._mark, now))
        self._steps += 1
        self._mark = now

    def step_begins(self) -> None:
        """Note the end of what the method did between two steps."""
        now = _now()
        if self._mark is not None:
            self._changes = _sum(self._changes, _since(self._mark, now))
        self._mark = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the body."""
        before = _now()
        yield
        if self._mark is not None:
            self._mark = _sum(self._mark, _since(before, _now()))

    def close(self, phase: str) -> None:
        """End the open stretch, which was in ``phase``."""
        self._rows = self.rows(phase)
        self._steps, self._changes = 0, (0.0, 0.0)
        self._timed.clear()

    def rows(self, phase: str | None) -> list[dict[str, Any]]:
        """All stretches, the open one included if its ``phase`` is given."""
        return [*self._rows, self._open(phase)] if self._steps and phase is not None else list(self._rows)

    def load(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take back rows from a checkpoint; the next step is not timed."""
        self._rows = [dict(row) for row in rows]
        self._steps, self._changes, self._mark = 0, (0.0, 0.0), None
        self._timed.clear()

    def _open(self, phase: str) -> dict[str, Any]:
        cpu, wall = (statistics.median(t) for t in zip(*self._timed, strict=True)) if self._timed else (None, None)
        return {
            "phase": phase,
            "steps": self._steps,
            "cpu_s": cpu,
            "wall_s": wall,
            "change_cpu_s": self._changes[0],
            "change_wall_s": self._changes[1],
        }


def time_row(rows: Sequence[dict[str, Any]], clock: str) -> dict[str, Any] | None:
    """The ledger's row of measured time; None before a step was timed.

    A stretch in which no step was timed takes the median of its own kind of phase.

    Args:
        rows: of :class:`StepTimes`.
        clock: ``"cpu"`` or ``"wall"``.

    Returns:
        Keys of the other rows of the ledger, with ``seconds`` of the whole run and, where the run has dense phases,
        ``fraction`` of as many typical steps of those.
    """
    typical = {phase: _typical(rows, phase, clock) for phase in ("dense", "sparse")}
    known = [(row, row[f"{clock}_s"] or typical[row["phase"]]) for row in rows]
    if not known or any(step is None for _, step in known):
        return None
    seconds = sum(row["steps"] * step + row[f"change_{clock}_s"] for row, step in known)
    steps, dense = sum(row["steps"] for row in rows), typical["dense"]
    return {
        "row": "training",
        "count": f"{clock} time",
        "flops": None,
        "dense_flops": None,
        "fraction": seconds / (steps * dense) if dense else None,
        "rule": "median step of each stretch, and all mask changes",
        "denominator": f"{steps} steps at the median of this run's dense phases" if dense else "none: no dense phase",
        "seconds": seconds,
    }


def _typical(rows: Sequence[dict[str, Any]], phase: str, clock: str) -> float | None:
    timed = [(row[f"{clock}_s"], row["steps"]) for row in rows if row["phase"] == phase and row[f"{clock}_s"]]
    steps = sum(count for _, count in timed)
    return sum(seconds * count for seconds, count in timed) / steps if steps else None


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _since(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    return after[0] - before[0], after[1] - before[1]


def _sum(left: tuple[float, float], right: tuple[float, float]) -> tuple[float, float]:
    return left[0] + right[0], left[1] + right[1]
