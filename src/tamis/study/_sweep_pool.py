"""Where the cells of a sweep run: processes of this machine, or a Dask cluster that exists already.

Both are executors of :mod:`concurrent.futures`, so that a sweep does not know which it has.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from tamis.errors import UsageError

Job = TypeVar("Job")


@contextmanager
def cluster_executor(address: str) -> Iterator[Executor]:
    """The workers of a Dask scheduler, such as ``tcp://10.0.0.1:8786``; needs ``tamis[cluster]``.

    Raises:
        UsageError: dask.distributed is not installed, or nothing answers at the address.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            f"--cluster needs dask.distributed ({error}); install it with: pip install 'tamis[cluster]'"
        ) from error
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"--cluster {address}: no Dask scheduler answers ({error})") from None
    with client, client.get_executor(pure=False, retries=0) as executor:
        yield executor


@contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """``workers`` processes with a fresh interpreter and one torch thread each; they end with this process."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    """In a new process: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_jobs(
    jobs: Iterable[Job],
    work: Callable[[Job], Any],
    new_executor: Callable[[], Any],
    width: int,
    ended: Callable[[Job, Any, BaseException | None], None],
) -> None:
    """Run ``work`` on every job, at most ``width`` at a time, and hand over each result or error as it comes.

    When a process dies (killed, out of memory), the executor is replaced; the jobs that were running are tried once
    more, each alone, so that one that kills its process again fails alone.

    Args:
        jobs: in the order to begin them.
        work: a function that other processes can import.
        new_executor: context manager that gives an executor.
        width: jobs at a time.
        ended: called in this thread with the job, its result or None, and its error or None.

    Raises:
        KeyboardInterrupt: after the jobs that were running have ended and were handed over; no new ones begin.
    """
    waiting, suspects = deque(jobs), deque[Any]()
    while waiting or suspects:
        with new_executor() as executor:
            if suspects:
                for job, error in _round(executor, work, deque([suspects.popleft()]), 1, ended):
                    ended(job, None, error)
            else:
                suspects.extend(job for job, _ in _round(executor, work, waiting, width, ended))


def _round(
    executor: Executor,
    work: Callable[[Any], Any],
    waiting: deque[Any],
    width: int,
    ended: Callable[[Any, Any, BaseException | None], None],
) -> list[tuple[Any, BaseException]]:
    """Run until nothing waits or the executor breaks; returns the jobs that were running when it broke."""
    running: dict[Future[Any], Any] = {}
    stopped = False
    broken: list[tuple[Any, BaseException]] = []
    while running or (waiting and not stopped and not broken):
        try:
            while waiting and len(running) < width and not stopped and not broken:
                job = waiting.popleft()
                try:
                    running[executor.submit(work, job)] = job
                except BrokenExecutor as error:
                    broken.append((job, error))
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                job, failure = running.pop(future), future.exception()
                if isinstance(failure, BrokenExecutor):
                    broken.append((job, failure))
                else:
                    ended(job, None if failure else future.result(), failure)
        except KeyboardInterrupt:
            if stopped:  # the second time at once
                raise
            stopped = True
            if running:
                print(f"waiting for {len(running)} cells that are running; Ctrl-C again stops at once", file=sys.stderr)
    if stopped:
        raise KeyboardInterrupt
    return broken
