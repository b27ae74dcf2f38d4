"""Where a run was dense and where it was sparse, and the horizontal axis of all charts.

The boundaries come from the mask events, which know the exact step; a run without events takes them from its epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from tamis.report._read import Run
from tamis.report._rows import EpochRow


@dataclass(frozen=True)
class Axis:
    """Maps optimizer steps to epochs done, linear between the ends of epochs; without epochs to steps."""

    steps: tuple[int, ...]
    epochs: tuple[float, ...]

    @property
    def label(self) -> str:
        """The text below the axis."""
        return "epoch" if self.epochs else "optimizer step"

    def position(self, step: float) -> float:
        """The position of ``step``; beyond the last epoch the last pace goes on."""
        if not self.epochs:
            return float(step)
        left_step, left = 0, 0.0
        pace = 1.0 / self.steps[0]
        for right_step, right in zip(self.steps, self.epochs, strict=True):
            pace = (right - left) / (right_step - left_step)
            if step <= right_step:
                break
            left_step, left = right_step, right
        if step > self.steps[-1]:
            return self.epochs[-1] + (step - self.steps[-1]) * pace
        return left + (step - left_step) * pace


@dataclass(frozen=True)
class Span:
    """One phase: ``kind`` is dense or sparse, ``start`` and ``end`` are optimizer steps, end exclusive."""

    kind: str
    start: int
    end: int
    epochs: tuple[EpochRow, ...]

    @property
    def step_cpu_ms(self) -> float:
        """The median CPU time of a step over the phase's epochs in milliseconds, NaN if none was measured."""
        times = [row.step_cpu_ms for row in self.epochs if not math.isnan(row.step_cpu_ms)]
        return median(times) if times else math.nan


def axis_of(run: Run) -> Axis:
    """The axis of a run.  Epochs may be counted from 0 or from 1; the position is always the number of epochs done."""
    rows = [row for row in run.epochs if row.step > 0]
    shift = 1 if rows and rows[0].epoch == 0 else 0
    steps: list[int] = []
    positions: list[float] = []
    for row in rows:
        if not positions or row.epoch + shift > positions[-1]:
            steps.append(row.step)
            positions.append(float(row.epoch + shift))
    return Axis(tuple(steps), tuple(positions))


def last_step(run: Run) -> int:
    """The last optimizer step that any row of the log knows, 0 for an empty log."""
    steps = [row.step for row in run.epochs] + [row.step for row in run.masks] + [row.step for row in run.probes]
    return max(steps, default=0)


def phases_of(run: Run) -> tuple[Span, ...]:
    """The phases in order, neighbours of one kind merged, empty ones left out."""
    end = last_step(run)
    if run.masks:
        first = "sparse" if run.masks[0].event == "decompress" else "dense"
        changes = [(0, first)]
        changes += [(row.step, "dense" if row.event == "decompress" else "sparse") for row in run.masks]
    else:
        starts = [0, *(row.step for row in run.epochs)]
        changes = [(start, row.phase) for start, row in zip(starts, run.epochs, strict=False)]
    spans: list[Span] = []
    for index, (start, kind) in enumerate(changes):
        stop = changes[index + 1][0] if index + 1 < len(changes) else end
        if stop <= start:
            continue
        if spans and spans[-1].kind == kind:
            start = spans.pop().start
        rows = tuple(row for row in run.epochs if start < row.step <= stop)
        spans.append(Span(kind, start, stop, rows))
    return tuple(spans)
