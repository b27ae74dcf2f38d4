"""A study from its description to results: trains what is missing, skips what is done, and writes after every cell."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tamis.bench import write_csv
from tamis.errors import FileError, UsageError
from tamis.study._cells import Cell
from tamis.study._description import MethodStudy
from tamis.study._pool import Pool
from tamis.study._results import CellResult, csv_rows, read_result, unfinished
from tamis.study._worker import is_finished, stored_recipe
from tamis.train import Interrupted, dump_recipe

RESULTS, CELLS = "results.csv", "cells"


@dataclass(frozen=True)
class StudyResults:
    """One result per cell, in the order of the cells; and what they are of: study, recipe, machine."""

    results: tuple[CellResult, ...]
    about: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types; None where there is no number."""
        rows = [{name: None if value == "" else value for name, value in row.items()} for row in csv_rows(self.results)]
        return {"about": self.about, "results": rows}


def run_study(
    study: MethodStudy, cells: Sequence[Cell], folder: str | os.PathLike[str], *, workers: int = 1
) -> StudyResults:
    """Train all cells that are not finished yet, each in ``folder/cells/NAME``, and write ``folder/results.csv``.

    A cell that was interrupted goes on from its checkpoint, one that has failed is tried again.  The CSV is written
    anew, atomically, after every cell.

    Args:
        study: the description.
        cells: what :func:`cells_of` made of it.
        folder: made if missing.
        workers: processes, each with one thread.

    Returns:
        One result per cell, in their order; a failed cell has ``state == "failed"`` and its error.

    Raises:
        UsageError: a cell's folder holds a run of another recipe.
        Interrupted: stopped by Ctrl-C; the same call goes on.
    """
    if workers < 1:
        raise UsageError(f"workers = {workers}: expected at least 1")
    root = Path(folder)
    texts = {cell.name: dump_recipe(cell.recipe) for cell in cells}
    folders = {cell.name: root / CELLS / cell.name for cell in cells}
    for cell in cells:
        _check_same(cell, texts[cell.name], folders[cell.name])
    done = [cell for cell in cells if is_finished(texts[cell.name], folders[cell.name])]
    results = {cell.name: unfinished(study.name, cell) for cell in cells}
    results |= {cell.name: read_result(study.name, cell, folders[cell.name]) for cell in done}
    by_name = {cell.name: cell for cell in cells}
    todo = [cell for cell in cells if cell not in done]

    def write() -> None:
        found = [results[cell.name] for cell in cells]
        write_csv(root / RESULTS, csv_rows(found), _machine(found, root), _about(study, cells, workers))

    write()
    running: list[str] = []
    try:
        with Pool(workers) as pool, tqdm(total=len(cells), initial=len(done), unit="cell", disable=None) as bar:

            def started(name: str) -> None:
                running.append(name)
                bar.set_description(" ".join(running))

            def ended(name: str, answer: Mapping[str, Any]) -> None:
                running.remove(name)
                cell = by_name[name]
                if answer["state"] == "stopped":  # by a signal from outside: to this study, a failure like another
                    answer = {"error": "it was stopped by a signal; run the study again to go on"}
                if "error" in answer:
                    results[name] = unfinished(study.name, cell, answer["error"])
                    tqdm.write(f"{name}: {answer['error']}", file=sys.stderr)
                else:
                    try:
                        results[name] = read_result(study.name, cell, folders[name])
                    except FileError as error:
                        results[name] = unfinished(study.name, cell, str(error))
                    tqdm.write(f"{name}: accuracy {results[name].accuracy:.4f}", file=sys.stderr)
                write()
                bar.update()

            pool.run([(cell.name, texts[cell.name], folders[cell.name]) for cell in todo], started, ended)
    except KeyboardInterrupt:
        finished = sum(is_finished(texts[cell.name], folders[cell.name]) for cell in cells)
        raise Interrupted(
            f"stopped with {finished} of {len(cells)} cells finished; the same command goes on with the others"
        ) from None
    found = tuple(results[cell.name] for cell in cells)
    return StudyResults(found, {**_about(study, cells, workers), **_machine(found, root)})


def _check_same(cell: Cell, text: str, folder: Path) -> None:
    stored = stored_recipe(folder)
    if stored is not None and stored != text:
        here, there = text.splitlines(), stored.splitlines()
        changed = [line for line in here if line not in there] or [line for line in there if line not in here]
        raise UsageError(
            f"{folder}: holds cell {cell.name} of another recipe, this one differs in {'; '.join(changed[:3])}; use "
            "--out another folder, or remove that one"
        )


def _machine(results: Sequence[CellResult], root: Path) -> dict[str, Any]:
    """The machine that the cells were trained on, as the first finished one tells; each row has its own load."""
    for result in results:
        if result.state == "done":
            found = json.loads((root / CELLS / result.cell / "env.json").read_text(encoding="utf-8"))
            return {key: value for key, value in found.items() if key != "load_average"}
    return {}


def _about(study: MethodStudy, cells: Sequence[Cell], workers: int) -> dict[str, Any]:
    """What the numbers are of: enough to train them again, without paths of this machine."""
    baseline = cells[0].recipe
    source = baseline.data.source
    return {
        "study": study.name,
        "base": Path(study.base).stem,
        "data": source if os.sep not in source else Path(source).name,
        "model": baseline.model.name,
        "epochs": baseline.train.epochs,
        "batch_size": baseline.train.batch_size,
        "optimizer": json.dumps(vars(baseline.optimizer)),
        "prune_at": study.prune_at,
        "reference": study.compared_with,
        "cells": json.dumps(study.cells),
        "workers": workers,
    }
