"""Dense or sparse, by measurement: per layer shape and direction, at first use, remembered.

Below some sparsity dense kernels are faster, and where that is depends on the shape, the machine and the number of
threads.  At the first call both are timed on the caller's own data; the faster one serves from then on.  Decisions are
kept by (shape, sparsity bucket, threads, instruction set), in checkpoints and in a file in the user's cache folder, one
for each model of processor and version of torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tamis.errors import FileError, UsageError
from tamis.kernels._format import BATCH_LAST, CHANNELS_LAST, NCHW, nearest_format
from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._pattern import PackedPattern
from tamis.kernels._processor import processor_name
from tamis.storage import write_atomic

FORMAT = 1
# Raised when kernels change so much that decisions taken with the old ones should be taken anew.
KERNELS = 6
_FORMATS = {NCHW: "", BATCH_LAST: "chwn", CHANNELS_LAST: "nhwc"}
MODES = ("measure", "sparse", "dense")


class Direction(str, Enum):
    """The three products of a layer; each is chosen by itself."""

    FORWARD = "forward"
    GRAD_INPUT = "grad_input"
    GRAD_WEIGHT = "grad_weight"


class Choices:
    """The decisions made so far.  ``tamis.kernels.choices`` is the one that layers use.

    Args:
        mode: ``"measure"`` times and remembers; ``"sparse"`` and ``"dense"`` always take that side.
        path: file that keeps decisions between processes; None keeps them in memory.
    """

    def __init__(self, mode: str = "measure", path: Path | None = None) -> None:
        self.mode = _checked_mode(mode)
        self._path = path
        self._loaded = path is None
        self._entries: dict[str, dict[str, Any]] = {}
        self._used: set[str] = set()
        self.changes = 0  # how often decisions were forgotten or replaced: who remembers one looks here

    def key(self, x: Tensor, pattern: PackedPattern, geometry: ConvGeometry, isa: str) -> str:
        """What a decision depends on, the shape of ``x`` among it, as text; ``""`` in a mode that does not measure."""
        if self.mode != "measure":
            return ""
        threads, memory_format = torch.get_num_threads(), nearest_format(x)

        def build() -> str:
            g = geometry
            return (
                f"{isa}/t{threads}/w{'x'.join(map(str, pattern.shape))}"
                f"/k{g.kernel[0]}x{g.kernel[1]}s{g.stride[0]}x{g.stride[1]}d{g.dilation[0]}x{g.dilation[1]}g{g.groups}"
                f"p{'x'.join(map(str, g.padding))}"
                f"/x{'x'.join(map(str, x.shape))}{_FORMATS[memory_format]}"
                f"/live{_bucket(pattern)}"
            )

        return pattern.remember(("choice", isa, threads, geometry, x.shape, memory_format), build)

    def run(self, key: str, direction: Direction, sparse: Callable[[], Tensor], dense: Callable[[], Tensor]) -> Tensor:
        """The result of the side that is (or now turns out to be) faster for ``key`` in this ``direction``."""
        if not key:
            return dense() if self.mode == "dense" else sparse()
        self._load()
        name = f"{key}/{direction._value_}"
        self._used.add(name)
        entry = self._entries.get(name)
        if entry is not None:
            return sparse() if entry["use"] == "sparse" else dense()
        sparse_s, result = _timed(sparse)
        dense_s, dense_result = _timed(dense)
        use = "sparse" if sparse_s <= dense_s else "dense"
        self._entries[name] = {"use": use, "sparse_ms": sparse_s * 1e3, "dense_ms": dense_s * 1e3}
        self._save()
        return result if use == "sparse" else dense_result

    def sparse(self, key: str, directions: Iterable[Direction]) -> bool:
        """Whether ``key`` is known to run sparse in all these directions; counts as their use where it is."""
        if not key:
            return self.mode != "dense"
        self._load()
        names = [f"{key}/{direction.value}" for direction in directions]
        if any(self._entries.get(name, {}).get("use") != "sparse" for name in names):
            return False
        self._used.update(names)
        return True

    def clear(self) -> None:
        """Forget every decision of this process (the file stays until the next decision)."""
        self._entries, self._used, self._loaded = {}, set(), True
        self.changes += 1

    def known(self) -> list[dict[str, Any]]:
        """Every decision of this process and of the file, one row each, as in :meth:`table`."""
        self._load()
        return self._rows(self._entries)

    def table(self) -> list[dict[str, Any]]:
        """The decisions that this process took or followed, one row each.

        Keys of a row: ``key``, ``direction``, ``use``, ``sparse_ms`` and ``dense_ms`` (wall time of one call).
        """
        return self._rows(self._used & self._entries.keys())

    def table_of(self, pattern: PackedPattern, batch: int) -> list[dict[str, Any]]:
        """The rows of :meth:`table` for layers of this pattern's shape and sparsity on ``batch`` samples."""
        weight, live = f"/w{'x'.join(map(str, pattern.shape))}/", f"/live{_bucket(pattern)}"
        rows = self.table()
        return [
            row for row in rows if weight in row["key"] and f"/x{batch}x" in row["key"] and row["key"].endswith(live)
        ]

    def state_dict(self) -> dict[str, Any]:
        """The decisions of :meth:`table` as plain JSON types, for a checkpoint.

        They change rounding, so an exact resume needs them.
        """
        return self._state(self._used & self._entries.keys())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over stored decisions; they win over those made here.

        Raises:
            FileError: the state is not one of this format.
        """
        self._load()
        entries = _checked_entries(state, "choices of a checkpoint")
        self._entries.update(entries)
        self._used |= entries.keys()
        self.changes += 1

    def _rows(self, names: Iterable[str]) -> list[dict[str, Any]]:
        rows = []
        for name in sorted(names):
            key, _, direction = name.rpartition("/")
            rows.append({"key": key, "direction": direction, **self._entries[name]})
        return rows

    def _state(self, names: Iterable[str]) -> dict[str, Any]:
        return {"format": FORMAT, "entries": {name: dict(self._entries[name]) for name in sorted(names)}}

    def _load(self) -> None:
        if self._loaded or self._path is None:
            return
        self._loaded = True
        try:
            state = json.loads(self._path.read_text())
            self._entries = {**_checked_entries(state, str(self._path)), **self._entries}
        except (OSError, ValueError, RecursionError):
            return  # no file yet, or a damaged one: decisions are measured anew and overwrite it

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            write_atomic(self._path, json.dumps(self._state(self._entries), indent=1))
        except OSError:
            self._path = None  # a read-only home folder: keep decisions in memory


def _checked_mode(mode: str) -> str:
    if mode not in MODES:
        raise UsageError(f"TAMIS_CHOICE={mode!r} is unknown; expected one of {', '.join(MODES)}")
    return mode


def _checked_entries(state: Any, where: str) -> dict[str, dict[str, Any]]:
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


def _bucket(pattern: PackedPattern) -> int:
    # Four buckets per halving of the live weights: 90 % and 95 % differ by four.
    share = max(pattern.nnz, 1) / max(pattern.total, 1)
    return round(-4 * math.log2(share))


def _timed(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds of the fastest of a few calls after a warm-up, and the result."""
    result = run()
    times: list[float] = []
    # Slow calls are long enough to be told apart by two; fast ones get up to five.
    while len(times) < 5 and (len(times) < 2 or sum(times) < 0.05):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def _default_path() -> Path | None:
    folder = os.environ.get("TAMIS_CACHE")
    if folder == "":
        return None
    if folder is None:
        base = os.environ.get("XDG_CACHE_HOME")
        folder = str((Path(base) if base else Path.home() / ".cache") / "tamis")
    # Another processor or another torch has another crossover; a home folder may serve several machines.
    measured_on = hashlib.sha256(
        f"{processor_name()} torch {torch.__version__} kernels {KERNELS}".encode()
    ).hexdigest()[:12]
    return Path(folder) / f"choices-{FORMAT}-{measured_on}.json"


choices = Choices(os.environ.get("TAMIS_CHOICE", "measure"), _default_path())
