"""``tamis report RUN``: the offline HTML page of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from tamis.cli._arguments import parse, show


@dataclass(frozen=True)
class ReportCommand:
    """Write report.html into a run folder; the page needs no network and runs no script."""

    run_folder: Annotated[str, tyro.conf.Positional]
    """Folder that tamis train or tamis demo has written, finished or not."""
    json: bool = False
    """Print one JSON object instead of the path."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(ReportCommand, arguments, "tamis report")
    from tamis.report import write_report

    page = str(write_report(options.run_folder))
    show({"report": page}, page, options.json)
    return 0
