"""Ctrl-C during training: finish the step, write a checkpoint, stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training stopped on request; the run folder holds a checkpoint of the last finished step."""


class StopRequest:
    """A context in which SIGINT and SIGTERM set :attr:`requested` instead of tearing a training step apart.

    A second signal raises ``KeyboardInterrupt`` at once.  Outside the main thread nothing is caught, because Python
    delivers signals only there.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
