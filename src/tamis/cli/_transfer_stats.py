"""``tamis transfer stats``: what sparsity cost, with intervals and tests, from a table of results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from tamis.cli._arguments import parse, show
from tamis.documents import csv_records, read_text
from tamis.errors import FileError, UsageError


@dataclass(frozen=True)
class StatsCommand:
    """Compare sparse with dense models over all tasks of TABLE.

    Prints the relative error increase with its interval for new seeds and that for new tasks, tests over tasks on four
    scales, methods against one another, and the correlation with upstream accuracy. Cells that are missing are named,
    and no score is over fewer tasks than another. Exit code 1 if any is missing.
    """

    table: Annotated[str, tyro.conf.Positional]
    """A .csv or .jsonl file with columns arch, kind, method, sparsity, task, seed, value; see docs."""
    tasks: str = ""
    """Keep only these tasks, with commas."""
    selection: Literal["", "last", "best_val", "paper_best_test"] = ""
    """Which rows count; by default last, else best_val. paper_best_test was chosen on the test set."""
    scale: Literal["error_difference", "relative_error", "log_error_ratio", "log_odds"] = "log_error_ratio"
    """Of the test that is corrected by Holm's method."""
    upstream: str = ""
    """A .csv file with columns method, sparsity, top1, perhaps arch, instead of the table's column upstream."""
    resamples: int = 10000
    """Of each bootstrap interval."""
    json: bool = False
    """Print one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 if a cell is missing."""
    options = parse(StatsCommand, arguments, "tamis transfer stats")
    found = statistics_from(options)
    from tamis.study import statistics_records, statistics_text

    show(statistics_records(found), statistics_text(found), options.json)
    return 1 if found.missing else 0


def statistics_from(options: Any) -> Any:
    """The statistics that the flags ask for; ``options`` has table, tasks, selection, scale, upstream, resamples."""
    if options.resamples < 100:
        raise UsageError(f"--resamples {options.resamples}: expected at least 100")
    from tamis.study import transfer_statistics
    from tamis.transfer import read_results

    return transfer_statistics(
        read_results(options.table),
        selection=options.selection,
        tasks=tuple(name.strip() for name in options.tasks.split(",") if name.strip()),
        scale=options.scale,
        resamples=options.resamples,
        upstream=_upstream(options.upstream) if options.upstream else None,
    )


def _upstream(path: str) -> dict[str, dict[tuple[str, float], float]]:
    """Architecture, "" where the file has no such column -> (method, sparsity) -> accuracy."""
    text = read_text(path, "a .csv file of upstream accuracies")
    found: dict[str, dict[tuple[str, float], float]] = {}
    try:
        for row in csv_records(text, path, ("method", "sparsity", "top1")):
            models = found.setdefault(row.get("arch", ""), {})
            models[row["method"], float(row["sparsity"])] = float(row["top1"])
    except FileError:
        raise
    except ValueError as error:
        raise FileError(f"{path}: {error}; expected numbers in the columns sparsity and top1") from None
    return found
