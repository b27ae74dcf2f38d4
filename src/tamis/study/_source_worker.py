"""The process that computes cells of the study of sources; each result is one JSON file, written when complete."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from tamis.storage import write_atomic
from tamis.study._source_study import SourceCell
from tamis.study._worker import serve_jobs


def serve() -> None:
    """Compute what stdin asks for, until it ends."""
    serve_jobs(run_source_job)


def run_source_job(text: str, file: Path) -> dict[str, Any]:
    """Compute the cell that ``text`` describes (JSON: cell, data_folder) and write its rows to ``file``.

    Returns:
        ``{"state": "done"}``, ``{"state": "stopped"}`` after Ctrl-C, or ``{"state": "failed", "error": ...}`` whatever
        went wrong: one cell must not take the others with it.
    """
    job = json.loads(text)
    try:
        rows = rows_of(job["cell"], job["data_folder"])
        write_atomic(file, json.dumps({"cell": job["cell"], "rows": rows}) + "\n")
    except KeyboardInterrupt:
        return {"state": "stopped"}
    except Exception as error:
        return {"state": "failed", "error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    return {"state": "done"}


def rows_of(cell: dict[str, Any], data_folder: str | None) -> list[dict[str, Any]]:
    """The rows of a cell given as plain JSON types; what a Dask worker runs too."""
    from tamis.study._source_cell import source_cell_rows

    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in cell.items()}
    return source_cell_rows(SourceCell(**values), _table(cell["data"], data_folder or os.environ.get("TAMIS_SHARED")))


@lru_cache(maxsize=2)
def _table(name: str, folder: str | None) -> Any:
    from tamis.sources import load_tabular

    return load_tabular(name, folder if folder != os.environ.get("TAMIS_SHARED") else None)
