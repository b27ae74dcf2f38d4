"""A bias study from its description to trained networks: what is missing is trained, what is done is skipped."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tamis.documents import json_object, read_text
from tamis.errors import UsageError
from tamis.study._bias_cells import BiasCell
from tamis.study._bias_worker import CELL, SUMMARY, is_trained
from tamis.study._pool import Pool
from tamis.train import Interrupted

CELLS = "cells"
WORKER = "tamis.study._bias_worker"


@dataclass(frozen=True)
class TrainedCell:
    """One cell that is finished: its description, its folder, and its ``summary.json``."""

    cell: BiasCell
    folder: Path
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class TrainedCells:
    """What :func:`train_bias_study` found: finished cells, and the error of each that failed, by its name."""

    done: tuple[TrainedCell, ...]
    failed: Mapping[str, str]


def train_bias_study(cells: Sequence[BiasCell], folder: str | os.PathLike[str], *, workers: int = 1) -> TrainedCells:
    """Train all cells that are not finished yet, each in ``folder/cells/NAME``.

    A cell is finished or it is not: one that was interrupted begins anew, which costs seconds.

    Args:
        cells: what :func:`bias_cells` made of the study.
        folder: made if missing.
        workers: processes, each with one thread.

    Raises:
        UsageError: a cell's folder holds a run of another description.
        Interrupted: stopped by Ctrl-C; the same call goes on.
    """
    if workers < 1:
        raise UsageError(f"workers = {workers}: expected at least 1")
    root = Path(folder) / CELLS
    for cell in cells:
        _check_same(cell, root / cell.name)
    failed: dict[str, str] = {}
    done = {cell.name for cell in cells if is_trained(cell, root / cell.name)}
    try:
        with Pool(workers, WORKER) as pool, tqdm(total=len(cells), initial=len(done), unit="cell", disable=None) as bar:
            # What other cells start from has to be there before them.
            needed = {cell.start for cell in cells if cell.start}
            for wave in ([c for c in cells if c.name in needed], [c for c in cells if c.name not in needed]):
                todo = [cell for cell in wave if cell.name not in done and cell.start not in failed]
                _train(pool, todo, root, bar, failed)
                failed |= {c.name: f"{c.start} failed, from which it starts" for c in wave if c.start in failed}
    except KeyboardInterrupt:
        finished = sum(is_trained(cell, root / cell.name) for cell in cells)
        raise Interrupted(
            f"stopped with {finished} of {len(cells)} cells finished; the same command goes on with the others"
        ) from None
    found = [cell for cell in cells if is_trained(cell, root / cell.name)]
    return TrainedCells(tuple(TrainedCell(c, root / c.name, _summary(root / c.name)) for c in found), failed)


def trained_cells(cells: Sequence[BiasCell], folder: str | os.PathLike[str]) -> tuple[TrainedCell, ...]:
    """The finished ones among ``cells``; trains nothing."""
    root = Path(folder) / CELLS
    return tuple(
        TrainedCell(cell, root / cell.name, _summary(root / cell.name))
        for cell in cells
        if is_trained(cell, root / cell.name)
    )


def _train(pool: Pool, cells: Sequence[BiasCell], root: Path, bar: Any, failed: dict[str, str]) -> None:
    running: list[str] = []

    def started(name: str) -> None:
        running.append(name)
        bar.set_description(" ".join(running))

    def ended(name: str, answer: Mapping[str, Any]) -> None:
        running.remove(name)
        if answer["state"] == "stopped":  # by a signal from outside: to this study, a failure like another
            answer = {"error": "it was stopped by a signal; run the study again to go on"}
        if "error" in answer:
            failed[name] = answer["error"]
            tqdm.write(f"{name}: {answer['error']}", file=sys.stderr)
        else:
            tqdm.write(f"{name}: {_summary(root / name)['cpu_s']} s", file=sys.stderr)
        bar.update()

    pool.run([(cell.name, cell.text(), root / cell.name) for cell in cells], started, ended)


def _check_same(cell: BiasCell, folder: Path) -> None:
    if (folder / CELL).is_file() and read_text(folder / CELL, "what was trained here") != cell.text():
        raise UsageError(
            f"{folder}: holds cell {cell.name} of another description of the study; use --out another folder, or "
            "remove that one"
        )


def _summary(folder: Path) -> Mapping[str, Any]:
    return json_object(read_text(folder / SUMMARY, "the numbers of a cell"), str(folder / SUMMARY))
