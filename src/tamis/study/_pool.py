"""A pool of processes on this machine, each with one torch thread; a cell that kills its process fails alone."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_WORKER = "from {} import serve; serve()"
_PATIENCE = 60.0  # seconds for a step, its checkpoint and the end of the process


class Pool:
    """Trains jobs in ``workers`` processes and hands over each answer as it comes.

    The processes have a session of their own: Ctrl-C reaches this process only, which passes it on once, so that every
    cell can finish its step and write a checkpoint.

    Args:
        workers: processes.
        module: what they run: a module whose ``serve()`` answers jobs, see ``tamis.study._worker``.
    """

    def __init__(self, workers: int, module: str = "tamis.study._worker") -> None:
        self.workers = workers
        self.module = module
        self._threads: list[threading.Thread] = []
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._stopping = False
        self._lock = threading.Lock()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.stop()

    def run(
        self,
        jobs: Sequence[tuple[str, str, Path]],
        started: Callable[[str], None],
        ended: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """Train all jobs; returns when the last has ended.

        Args:
            jobs: name, recipe text and run folder of each.
            started: called with a name, in this thread, when its training begins.
            ended: called with a name and its answer (see ``run_job``), in this thread.
        """
        waiting: queue.SimpleQueue[tuple[str, str, Path]] = queue.SimpleQueue()
        news: queue.SimpleQueue[tuple[str, dict[str, Any] | None]] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        self._threads = [
            threading.Thread(target=self._work, args=(place, waiting, news), daemon=True)
            for place in range(min(self.workers, len(jobs)))
        ]
        for thread in self._threads:
            thread.start()
        left = len(jobs)
        while left:
            name, answer = news.get()
            if answer is None:
                started(name)
            else:
                ended(name, answer)
                left -= 1

    def stop(self) -> None:
        """End all processes; those that train write a checkpoint first."""
        with self._lock:
            self._stopping = True
            running = list(self._processes.values())
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self._threads:  # each has read the end of its process's answers now
            thread.join()
        for process in running:
            _close(process)
        self._processes.clear()

    def _work(self, place: int, waiting: queue.SimpleQueue[Any], news: queue.SimpleQueue[Any]) -> None:
        """What one thread does: keep one process busy, and replace it when it dies."""
        while not self._stopping:
            try:
                name, recipe, folder = waiting.get_nowait()
            except queue.Empty:
                break
            news.put((name, None))
            try:
                process = self._process(place)
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps({"recipe": recipe, "folder": str(folder)}) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                answer = json.loads(line) if line.endswith("\n") else self._death(place, process)
            except (OSError, ValueError) as error:
                answer = {"state": "failed", "error": f"{type(error).__name__}: {error}; run the study again to go on"}
                self._drop(place)
            if answer["state"] == "stopped":  # the process ends after it
                self._drop(place)
            news.put((name, answer))

    def _process(self, place: int) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopping:
                raise OSError("the study was stopped")
            process = self._processes.get(place)
            if process is None:
                process = subprocess.Popen(
                    [sys.executable, "-c", _WORKER.format(self.module)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    start_new_session=True,
                )
                self._processes[place] = process
            return process

    def _death(self, place: int, process: subprocess.Popen[str]) -> dict[str, Any]:
        code = process.wait()
        self._drop(place)
        if self._stopping:
            return {"state": "stopped"}
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return {"state": "failed", "error": f"the process that trained it {how}; run the study again to go on"}

    def _drop(self, place: int) -> None:
        """Forget a process that has ended or is of no use any more; the next job gets a new one."""
        with self._lock:
            process = None if self._stopping else self._processes.pop(place, None)
        if process is not None:
            process.kill()
            process.wait()
            _close(process)


def _close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what was never flushed has no reader any more
                stream.close()
