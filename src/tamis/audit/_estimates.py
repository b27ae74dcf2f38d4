"""A value over seeds with its intervals, in the form that the report stores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tamis.audit._intervals import Interval, widest
from tamis.audit._reasons import Value, mean_of


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds, the seeds, and intervals of the mean.

    Attributes:
        mean: undefined if one seed is.
        seeds: (seed, value) of each run.
        intervals: of the mean; the widest of them is what the gate uses.
    """

    mean: Value
    seeds: tuple[tuple[int, Value], ...] = ()
    intervals: tuple[Interval, ...] = ()

    @property
    def interval(self) -> Interval | None:
        """The widest interval."""
        return widest(self.intervals)

    def as_json(self) -> dict[str, Any]:
        """The estimate of docs/audit_json.md."""
        interval = self.interval
        return {
            "mean": number(self.mean),
            "reason": self.mean.reason,
            "seeds": [{"seed": seed, "value": number(value)} for seed, value in self.seeds],
            "interval": None if interval is None else interval_json(interval),
        }


def estimate(seeds: Sequence[int], values: Sequence[Value], intervals: Sequence[Interval] = ()) -> Estimate:
    """An estimate whose mean is that of the values, one a seed."""
    return Estimate(mean_of(values), tuple(zip(seeds, values, strict=True)), tuple(intervals))


def number(value: Value | float | None) -> float | None:
    """A finite number, or None for JSON."""
    found = value.value if isinstance(value, Value) else value
    return None if found is None or not math.isfinite(found) else float(found)


def interval_json(interval: Interval) -> dict[str, Any]:
    """The interval of docs/audit_json.md."""
    return {
        "kind": interval.kind,
        "method": interval.method,
        "lo": number(interval.lo),
        "hi": number(interval.hi),
        "level": interval.level,
        "dropped": interval.dropped,
        "notes": list(interval.notes),
        "paired": interval.paired,
    }
