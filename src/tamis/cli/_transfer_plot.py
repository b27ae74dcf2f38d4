"""``tamis transfer plot``: figures of a table of results, each with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from tamis.cli._arguments import parse, show
from tamis.documents import csv_records, read_finished
from tamis.errors import FileError


@dataclass(frozen=True)
class PlotCommand:
    """Draw TABLE: scores with both intervals, increase by task, upstream against downstream, speed against error.

    Every figure is an SVG file with a CSV file of its numbers beside it. Needs tamis[report].
    """

    table: Annotated[str, tyro.conf.Positional]
    """A .csv or .jsonl file of transfer results."""
    out: str = "figures"
    """Folder of the figures."""
    tasks: str = ""
    """Keep only these tasks, with commas."""
    selection: Literal["", "last", "best_val", "paper_best_test"] = ""
    """Which rows count; by default last, else best_val."""
    scale: Literal["error_difference", "relative_error", "log_error_ratio", "log_odds"] = "log_error_ratio"
    """Of the tests."""
    upstream: str = ""
    """A .csv file with columns method, sparsity, top1, perhaps arch, instead of the table's column upstream."""
    speeds: str = ""
    """A .csv file with columns arch, kind, method, sparsity, speed_up: measured against dense in one run; without it
    speeds.csv beside the table, if there is one."""
    resamples: int = 10000
    """Of each bootstrap interval."""
    json: bool = False
    """Print one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(PlotCommand, arguments, "tamis transfer plot")
    from tamis.cli._transfer_stats import statistics_from
    from tamis.report import require_extra
    from tamis.study import write_transfer_figures

    require_extra()
    beside = Path(options.table).parent / "speeds.csv"
    source = options.speeds or (str(beside) if beside.is_file() else "")
    speeds = _speeds(source) if source else None
    written = [str(path) for path in write_transfer_figures(statistics_from(options), options.out, speeds)]
    show({"files": written}, "\n".join(written) or "nothing to draw: no sparse model has all its cells", options.json)
    return 0


def _speeds(path: str) -> dict[Any, float]:
    text = read_finished(path, "a .csv file of speeds")
    try:
        return {
            (row["arch"], row["kind"], row["method"], float(row["sparsity"])): float(row["speed_up"])
            for row in csv_records(text, path, ("arch", "kind", "method", "sparsity", "speed_up"))
        }
    except FileError:
        raise
    except ValueError as error:
        raise FileError(f"{path}: {error}; expected numbers in the columns sparsity and speed_up") from None
