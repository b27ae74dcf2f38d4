"""What was trained for how long at which support: the raw material of the ledger and of the phase table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tamis.methods._supports import LayerSupports


class History:
    """Intervals of optimizer steps with one support; an interval ends where masks change and, if asked, with an epoch.

    Each row is a dict of JSON types: ``start`` and ``end`` (steps, end exclusive), ``phase`` (``"dense"`` or
    ``"sparse"``), ``live`` (weights that may be non-zero, by layer), ``nonzero`` (weights that are not exactly zero at
    ``end``, by layer).  In a dense phase the two differ when weights that came back stay at zero.  Methods that compute
    gradients for other weights than the live ones add ``trained`` (by layer).
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    @property
    def _end(self) -> int:
        return self._rows[-1]["end"] if self._rows else 0

    def close(self, step: int, supports: LayerSupports, trained: Mapping[str, int] | None = None) -> None:
        """End the open interval after ``step`` steps; nothing happens if it is empty."""
        self._rows = self.rows(step, supports, trained)

    def rows(
        self, step: int, supports: LayerSupports | None, trained: Mapping[str, int] | None = None
    ) -> list[dict[str, Any]]:
        """All intervals, the open one included while ``supports`` are given."""
        if supports is None or step <= self._end:
            return list(self._rows)
        return [*self._rows, self._row(step, supports, trained)]

    def load(self, rows: list[dict[str, Any]]) -> None:
        """Take back rows from a checkpoint."""
        self._rows = [dict(row) for row in rows]

    def _row(self, step: int, supports: LayerSupports, trained: Mapping[str, int] | None) -> dict[str, Any]:
        row = {
            "start": self._end,
            "end": step,
            "phase": "sparse" if supports.held else "dense",
            "live": supports.live_counts(),
            "nonzero": supports.nonzeros(),
        }
        return row if trained is None else {**row, "trained": dict(trained)}
