"""Timing several ways of doing the same work, fairly: warmed up, in turns, medians of CPU and wall time."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TOTAL = "total"
_MOST_CALLS = 200


@dataclass(frozen=True)
class Timing:
    """Medians over the repeats of one contestant, in milliseconds; CPU time adds up all threads of the process."""

    cpu_ms: float
    wall_ms: float
    repeats: int


def contest(
    contestants: Mapping[str, Callable[[], Any]],
    *,
    repeats: int = 5,
    warmup: int = 2,
    minimum_ms: float = 0.0,
    failed: dict[str, str] | None = None,
) -> dict[str, Timing]:
    """Time every contestant; they take turns, so that a disturbance of the machine hits all of them.

    Args:
        contestants: what to call, by name.
        repeats: timed turns of each.
        warmup: untimed turns of each before them.
        minimum_ms: a turn makes as many calls as fill this time (200 at most); the time of one call is reported.
        failed: receives what a contestant raises, by name; it is left out then.  Without it the exception goes on.

    Returns:
        The median times by name.
    """
    stages = {name: {TOTAL: run} for name, run in contestants.items()}
    times = contest_stages(stages, repeats=repeats, warmup=warmup, minimum_ms=minimum_ms, failed=failed)
    return {name: found[TOTAL] for name, found in times.items()}


def contest_stages(
    contestants: Mapping[str, Mapping[str, Callable[[], Any]]],
    *,
    repeats: int = 5,
    warmup: int = 2,
    minimum_ms: float = 0.0,
    failed: dict[str, str] | None = None,
) -> dict[str, dict[str, Timing]]:
    """Like :func:`contest` for work in named stages that run one after the other.

    Returns:
        By contestant and stage the median times; ``"total"`` is the median of the sums over the stages.
    """
    samples: dict[str, dict[str, list[tuple[float, float]]]] = {
        name: {stage: [] for stage in (*stages, TOTAL)} for name, stages in contestants.items()
    }
    calls = dict.fromkeys(contestants, 1)
    for turn in range(warmup + repeats):
        for name, stages in contestants.items():
            if name not in samples:
                continue
            try:
                spent = _turn(stages, calls[name])
            except Exception as error:
                if failed is None:
                    raise
                failed[name] = f"failed: {type(error).__name__}: {' '.join(str(error).split())}"
                del samples[name]
                continue
            if turn >= warmup:
                for stage, sample in spent.items():
                    samples[name][stage].append(sample)
            else:
                wall_ms = 1e3 * spent[TOTAL][1]
                calls[name] = min(max(math.ceil(minimum_ms / max(wall_ms, 1e-6)), 1), _MOST_CALLS)
    return {name: {stage: _median(found) for stage, found in stages.items()} for name, stages in samples.items()}


def _turn(stages: Mapping[str, Callable[[], Any]], calls: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of one call, by stage and in total."""
    cpu, wall = dict.fromkeys(stages, 0.0), dict.fromkeys(stages, 0.0)
    for _ in range(calls):
        for stage, run in stages.items():
            start_wall, start_cpu = time.perf_counter(), time.process_time()
            run()
            cpu[stage] += time.process_time() - start_cpu
            wall[stage] += time.perf_counter() - start_wall
    spent = {stage: (cpu[stage] / calls, wall[stage] / calls) for stage in stages}
    return {**spent, TOTAL: (sum(cpu.values()) / calls, sum(wall.values()) / calls)}


def _median(samples: list[tuple[float, float]]) -> Timing:
    cpu, wall = zip(*samples, strict=True)
    return Timing(1e3 * statistics.median(cpu), 1e3 * statistics.median(wall), len(samples))
