"""Timing several ways of doing the same work, fairly: warmed up, in turns, medians of CPU and wall time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Medians over the repeats of one contestant, in milliseconds; CPU time adds up all threads of the process."""

    cpu_ms: float
    wall_ms: float
    repeats: int


def contest(contestants: Mapping[str, Callable[[], Any]], *, repeats: int = 5, warmup: int = 2) -> dict[str, Timing]:
    """Time every contestant; they take turns, so that a disturbance of the machine hits all of them.

    Args:
        contestants: what to call, by name.
        repeats: timed calls of each.
        warmup: untimed calls of each before them.

    Returns:
        The median times by name.
    """
    cpu: dict[str, list[float]] = {name: [] for name in contestants}
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warmup + repeats):
        for name, run in contestants.items():
            start_wall, start_cpu = time.perf_counter(), time.process_time()
            run()
            if number >= warmup:
                cpu[name].append(time.process_time() - start_cpu)
                wall[name].append(time.perf_counter() - start_wall)
    return {
        name: Timing(1e3 * statistics.median(cpu[name]), 1e3 * statistics.median(wall[name]), repeats)
        for name in contestants
    }
