"""The study of sources from cells to results: computes what is missing on a local pool or on Dask."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tamis.bench import describe_machine, write_csv
from tamis.documents import json_object, read_text
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic
from tamis.study._pool import Pool
from tamis.study._source_study import SourceCell
from tamis.train import Interrupted

RESULTS, CELLS = "results.csv", "cells"
Row = dict[str, Any]


@dataclass(frozen=True)
class SourceResults:
    """Rows of all finished cells, in the order of the cells; the error of each that failed; and the machine."""

    rows: tuple[Row, ...]
    failed: dict[str, str]
    about: dict[str, Any]


def run_source_study(
    cells: Sequence[SourceCell],
    folder: str | os.PathLike[str],
    *,
    data_folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    cluster: str = "",
) -> SourceResults:
    """Compute all cells that are not finished yet; each becomes ``folder/cells/NAME.json``, all ``folder/results.csv``.

    A cell is computed in one piece, so one that was interrupted begins again.

    Args:
        cells: of :func:`source_cells`.
        folder: made if missing.
        data_folder: holds the tables; None for ``$TAMIS_SHARED/data/tab``.
        workers: local processes, each with one thread.
        cluster: address of a Dask scheduler, such as ``tcp://host:8786``, whose workers read the tables at the same
            path; empty for local processes.

    Raises:
        UsageError: a cell's file holds another cell, or Dask is asked for and not installed.
        FileError: a cell's file is damaged.
        Interrupted: stopped by Ctrl-C; the same call goes on.
    """
    if workers < 1:
        raise UsageError(f"workers = {workers}: expected at least 1")
    root = Path(folder)
    files = {cell.name: root / CELLS / f"{cell.name}.json" for cell in cells}
    done = {cell.name: found for cell in cells if (found := _stored(cell, files[cell.name])) is not None}
    todo = [cell for cell in cells if cell.name not in done]
    place = None if data_folder is None else str(Path(data_folder).resolve())
    failed: dict[str, str] = {}
    compute = _on_dask if cluster else _on_pool
    try:
        with tqdm(total=len(cells), initial=len(done), unit="cell", disable=None) as bar:

            def ended(cell: SourceCell, error: str) -> None:
                if error:
                    failed[cell.name] = error
                    tqdm.write(f"{cell.name}: {error}", file=sys.stderr)
                bar.update()

            if todo:
                compute(todo, files, place, cluster or workers, ended)
    except KeyboardInterrupt:
        finished = sum(file.is_file() for file in files.values())
        raise Interrupted(
            f"stopped with {finished} of {len(cells)} cells finished; the same command goes on with the others"
        ) from None
    rows: list[Row] = []
    for cell in cells:
        rows += _rows(cell, done.get(cell.name) or _stored(cell, files[cell.name]) or [])
    about = {"n_sources": sorted({cell.n_sources for cell in cells}), "n_bad": sorted({cell.n_bad for cell in cells})}
    machine = describe_machine()
    if rows:
        write_csv(root / RESULTS, [_flat(row) for row in rows], machine, about)
    return SourceResults(tuple(rows), failed, {**about, **machine})


def _on_pool(
    cells: Sequence[SourceCell],
    files: Mapping[str, Path],
    data_folder: str | None,
    workers: Any,
    ended: Callable[[SourceCell, str], None],
) -> None:
    by_name = {cell.name: cell for cell in cells}

    def answered(name: str, answer: Mapping[str, Any]) -> None:
        if answer["state"] == "stopped":
            answer = {"error": "it was stopped by a signal; run the study again to go on"}
        ended(by_name[name], answer.get("error", ""))

    jobs = [
        (cell.name, json.dumps({"cell": cell.as_dict(), "data_folder": data_folder}), files[cell.name])
        for cell in cells
    ]
    with Pool(workers, "tamis.study._source_worker") as pool:
        pool.run(jobs, lambda name: None, answered)


def _on_dask(
    cells: Sequence[SourceCell],
    files: Mapping[str, Path],
    data_folder: str | None,
    address: Any,
    ended: Callable[[SourceCell, str], None],
) -> None:
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UsageError("--cluster needs Dask: pip install tamis[cluster]") from None
    from tamis.study._source_worker import rows_of

    try:
        client = Client(address, timeout=30)
    except (OSError, ValueError) as error:
        raise UsageError(f"--cluster {address}: found no Dask scheduler there ({error})") from error
    with client:
        futures = {client.submit(rows_of, cell.as_dict(), data_folder, pure=False): cell for cell in cells}
        for future in as_completed(futures):
            cell, failure = futures[future], future.exception()
            if failure is None:
                text = json.dumps({"cell": cell.as_dict(), "rows": future.result()})
                write_atomic(files[cell.name], text + "\n")
            ended(cell, "" if failure is None else f"{type(failure).__name__}: {' '.join(str(failure).split())}")
            future.release()


def _stored(cell: SourceCell, file: Path) -> list[Row] | None:
    """The rows in a cell's file; None if there is none."""
    if not file.exists():
        return None
    try:
        found = json_object(read_text(file, "the result of a cell"), str(file))
        stored, rows = dict(found["cell"]), [dict(row) for row in found["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{file}: no result of a cell ({error!r}); remove it and run the study again") from error
    if stored != cell.as_dict():
        differs = [key for key, value in cell.as_dict().items() if stored.get(key) != value]
        raise UsageError(
            f"{file}: holds this cell with another {', '.join(differs)}; use --out another folder, or remove that file"
        )
    return rows


def _rows(cell: SourceCell, rows: Sequence[Row]) -> list[Row]:
    head = {
        "data": cell.data,
        "n_sources": cell.n_sources,
        "n_bad": cell.n_bad,
        "adversary": cell.adversary,
        "seed": cell.seed,
    }
    return [{**head, **row} for row in rows]


def _flat(row: Row) -> Row:
    """Values as a CSV holds them: numbers to six digits, lists with blanks between, nothing for None and NaN."""
    flat: Row = {}
    for key, value in row.items():
        if value is None or value != value:
            flat[key] = ""
        elif isinstance(value, list):
            flat[key] = " ".join(map(str, value))
        else:
            flat[key] = round(value, 6) if isinstance(value, float) else value
    return flat
