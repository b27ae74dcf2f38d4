"""Dense or sparse, by measurement: per layer shape and direction, at first use, remembered.

Below some sparsity dense kernels are faster, and where that is depends on the shape, the machine and the number of
threads.  At the first call both are timed on the caller's own data; the faster one serves from then on.  Decisions are
kept by (shape, sparsity bucket, threads, instruction set), in checkpoints and in a file in the user's cache folder, one
for each model of processor and version of torch.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.kernels._choices_file import FORMAT, ChoicesFile, checked_entries, state_of
from tamis.kernels._format import BATCH_LAST, CHANNELS_LAST, NCHW, nearest_format
from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._pattern import PackedPattern
from tamis.kernels._processor import processor_name

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
        self._file = None if path is None else ChoicesFile(path)
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
            if self._file is not None:
                self._file.write_if_due()
            return sparse() if entry["use"] == "sparse" else dense()
        sparse_s, result = _timed(sparse)
        dense_s, dense_result = _timed(dense)
        use = "sparse" if sparse_s <= dense_s else "dense"
        self._entries[name] = {"use": use, "sparse_ms": sparse_s * 1e3, "dense_ms": dense_s * 1e3}
        if self._file is not None:
            self._file.add({name: self._entries[name]})
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
        """Forget every decision of this process; each one in the file stays until it is measured anew."""
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
        return state_of(self._entries, self._used & self._entries.keys())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over stored decisions; they win over those made here.

        Raises:
            FileError: the state is not one of this format.
        """
        self._load()
        entries = checked_entries(state, "choices of a checkpoint")
        self._entries.update(entries)
        self._used |= entries.keys()
        self.changes += 1

    def _rows(self, names: Iterable[str]) -> list[dict[str, Any]]:
        rows = []
        for name in sorted(names):
            key, _, direction = name.rpartition("/")
            rows.append({"key": key, "direction": direction, **self._entries[name]})
        return rows

    def _load(self) -> None:
        if not self._loaded and self._file is not None:
            self._entries = {**self._file.read(), **self._entries}
        self._loaded = True


def _checked_mode(mode: str) -> str:
    if mode not in MODES:
        raise UsageError(f"TAMIS_CHOICE={mode!r} is unknown; expected one of {', '.join(MODES)}")
    return mode


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
