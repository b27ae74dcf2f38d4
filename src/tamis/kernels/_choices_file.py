"""The file that keeps measured decisions between processes."""

from __future__ import annotations

import atexit
import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tamis.errors import FileError
from tamis.storage import write_atomic

FORMAT = 1
Entries = dict[str, dict[str, Any]]

# A write waits for the disk: a server that meets many shapes of inputs must not do so for each of them.
_SECONDS_BETWEEN_WRITES = 1.0


class ChoicesFile:
    """Decisions in a file that several processes read and write.

    The file is replaced in one piece; whoever writes it keeps what others have added since.  (Of two that write within
    the same milliseconds one can lose what is new; that is measured again.)

    Args:
        path: the file; it and its folder need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path: Path | None = path
        self._unwritten: Entries = {}
        self._written_at = -math.inf

    def read(self) -> Entries:
        """The decisions in the file; none where it does not exist yet or is damaged (the next write replaces it)."""
        if self._path is None:
            return {}
        try:
            return checked_entries(json.loads(self._path.read_text()), str(self._path))
        except (OSError, ValueError, RecursionError):
            return {}

    def add(self, entries: Entries) -> None:
        """Keep ``entries``, which win over those of the same names: written at once, at a later use, or at exit."""
        if self._path is None:
            return
        if not self._unwritten:
            atexit.register(self.write)
        self._unwritten.update(entries)
        self.write_if_due()

    def write_if_due(self) -> None:
        """Write what was added, unless the last write was less than a second ago."""
        if self._unwritten and time.monotonic() - self._written_at >= _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write what was added and not written yet; a folder that cannot be written costs only the memory."""
        atexit.unregister(self.write)
        added, self._unwritten = self._unwritten, {}  # first, for what another thread adds meanwhile
        if self._path is None or not added:
            return
        try:
            write_atomic(self._path, json.dumps(state_of({**self.read(), **added}), indent=1))
        except OSError:
            self._path = None  # a read-only home folder
        self._written_at = time.monotonic()


def state_of(entries: Mapping[str, Mapping[str, Any]], names: Iterable[str] | None = None) -> dict[str, Any]:
    """Decisions as plain JSON types, sorted by name: all of them, or those of ``names``."""
    wanted = sorted(entries if names is None else names)
    return {"format": FORMAT, "entries": {name: dict(entries[name]) for name in wanted}}


def checked_entries(state: Any, where: str) -> Entries:
    """The decisions of a stored state; the inverse of :func:`state_of`.

    Raises:
        FileError: the state is not one of this format; the message begins with ``where``.
    """
    entries = state.get("entries") if isinstance(state, Mapping) else None
    good = isinstance(entries, Mapping) and state.get("format") == FORMAT
    if not good or any(
        not isinstance(e, Mapping)
        or e.get("use") not in ("sparse", "dense")
        or not all(isinstance(e.get(k), (int, float)) for k in ("sparse_ms", "dense_ms"))
        for e in entries.values()  # type: ignore[union-attr]
    ):
        raise FileError(f"{where}: not a table of dense/sparse choices of format {FORMAT}")
    return {str(name): dict(entry) for name, entry in entries.items()}  # type: ignore[union-attr]
