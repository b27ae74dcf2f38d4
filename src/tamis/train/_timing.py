"""CPU and wall time of training steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepClock:
    """Collects the times of steps; CPU time counts all threads of the process, waiting threads of the pool included."""

    def __init__(self) -> None:
        self._cpu: list[float] = []
        self._wall: list[float] = []
        self._pause_cpu = 0.0
        self._pause_wall = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time the body as one step; a step that raises is not counted."""
        self._pause_cpu = self._pause_wall = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self._cpu.append(time.process_time() - cpu - self._pause_cpu)
        self._wall.append(time.perf_counter() - wall - self._pause_wall)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the body in the step that it is part of."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self._pause_cpu += time.process_time() - cpu
        self._pause_wall += time.perf_counter() - wall

    @property
    def steps(self) -> int:
        """Number of steps that were timed."""
        return len(self._cpu)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all steps together."""
        return sum(self._cpu)

    @property
    def wall_s(self) -> float:
        """Wall seconds of all steps together."""
        return sum(self._wall)

    @property
    def median_cpu_ms(self) -> float | None:
        """Median CPU milliseconds of a step, None before the first."""
        return 1e3 * statistics.median(self._cpu) if self._cpu else None

    @property
    def median_wall_ms(self) -> float | None:
        """Median wall milliseconds of a step, None before the first."""
        return 1e3 * statistics.median(self._wall) if self._wall else None
