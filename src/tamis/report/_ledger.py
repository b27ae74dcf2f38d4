"""The FLOPs ledger beside measured time: what the run cost by three ways of counting, each with its denominator.

Mask-based and exact-nnz rows are arithmetic on live weights, done by the run.  The rows below them are measurements:
what all epochs took over what they would have taken at the median of this run's own dense phases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from tamis.report._format import DASH, percent
from tamis.report._phases import Span
from tamis.report._read import Run
from tamis.report._rows import EpochRow
from tamis.report._tables import Table

COUNTS = {"mask": "mask-based", "nonzero": "exact nnz"}
MEASURED = ("cpu time", "wall time")
STATES = ("dense", "sparse")
STEPS = {"forward": "forward pass", "training": "training step"}


def ledger_of(run: Run, spans: Sequence[Span]) -> Table | None:
    """The run's ledger with the measured rows last; None if there is nothing to show."""
    rows = [
        (
            row.row.capitalize(),
            COUNTS.get(row.count, row.count),
            percent(row.fraction),
            f"{row.flops:,.0f}" if math.isfinite(row.flops) else DASH,
            f"{_flops(row.dense_flops)} of a dense {STEPS.get(row.row, row.row)}, per sample",
        )
        for row in run.summary.ledger
        if row.count not in MEASURED  # the run's epochs say it below, with evaluations and data apart
    ]
    for count, time_of in (("CPU time, measured", _cpu_ms), ("wall-clock, measured", _wall_s)):
        fraction = measured_fraction(spans, time_of)
        if math.isfinite(fraction):
            epochs = sum(len(span.epochs) for span in spans)
            rows.append(
                ("Training", count, percent(fraction), DASH, f"{epochs} epochs at the median dense-phase epoch")
            )
    headings = ("Cost of", "Counted", "Fraction", "FLOPs", "Denominator")
    return Table(headings, (False, False, True, True, False), tuple(rows)) if rows else None


def measured_fraction(spans: Sequence[Span], time_of: Callable[[EpochRow], float]) -> float:
    """Time of all epochs over as many median dense epochs; NaN unless both kinds of phase were measured throughout."""
    times = {kind: [time_of(row) for span in spans if span.kind == kind for row in span.epochs] for kind in STATES}
    every = [time for kind in STATES for time in times[kind]]
    if not all(times.values()) or not all(math.isfinite(time) for time in every):
        return math.nan
    dense = median(times["dense"])
    return sum(every) / (len(every) * dense) if dense > 0 else math.nan


def step_median(spans: Sequence[Span], kind: str) -> float:
    """The median over all epochs of one kind of phase of the median CPU time of a step in milliseconds, or NaN."""
    times = [row.step_cpu_ms for span in spans if span.kind == kind for row in span.epochs]
    times = [time for time in times if not math.isnan(time)]
    return median(times) if times else math.nan


def _cpu_ms(row: EpochRow) -> float:
    return row.step_cpu_ms


def _wall_s(row: EpochRow) -> float:
    return row.wall_s


def _flops(value: float) -> str:
    return f"{value:,.0f} FLOPs" if math.isfinite(value) else "the FLOPs"
