"""Warnings of a run become rows of metrics.jsonl, so that the report can show them, and lines on stderr."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from tamis.train._metrics import MetricsLog


@contextmanager
def noted_warnings(log: MetricsLog, *, aloud: bool = True) -> Iterator[None]:
    """While the context is open, every warning that Python would show is logged as ``{"kind": "note"}`` as well.

    With ``aloud=False`` the lines on stderr are left to another process.  Filters stay in force: what is ignored is
    not logged, what is an error is raised.
    """
    before = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        log.append({"kind": "note", "category": category.__name__, "text": str(message)})
        if aloud:
            tqdm.write(f"warning: {message}", file=sys.stderr)

    warnings.showwarning = note
    try:
        yield
    finally:
        warnings.showwarning = before
