"""What a study leaves to look at: three SVG files, a page that works offline, and its tables as Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.report import draw_svg, render_chart, render_template, require_extra
from tamis.storage import write_atomic
from tamis.study._figures import figures_of, text_alternative
from tamis.study._results import CellResult
from tamis.study._summary import Summary, summarise
from tamis.study._tables import (
    accuracy_table,
    cost_table,
    dense_table,
    difference_table,
    markdown,
    missing_notes,
)

GROUND = "#fffefb"


def write_study_report(
    results: Sequence[CellResult], folder: str | os.PathLike[str], *, reference: str, about: Mapping[str, Any]
) -> Path:
    """Write ``report.html``, ``tables.md`` and ``figures/*.svg`` of a study, finished or not; returns the page's path.

    Equal results give equal files, byte for byte.

    Args:
        results: of :func:`run_study`, or read from a results.csv.
        folder: made if missing.
        reference: the method that the others are compared with.
        about: what the study is of and the machine, shown as it is.

    Raises:
        UsageError: jinja2 or matplotlib is not installed.
    """
    require_extra()
    root, summary = Path(folder), summarise(results, reference)
    figures = figures_of(summary)
    for figure in figures:
        svg = draw_svg("wide", figure.heights[0], f"study-{figure.key}", figure.draw, GROUND)
        write_atomic(root / "figures" / f"{figure.key}.svg", svg)
    write_atomic(root / "tables.md", tables_text(summary))
    charts = {
        figure.key: render_chart(
            figure.key, figure.title, text_alternative(summary, figure), figure.caption, figure.heights, figure.draw
        )
        for figure in figures
    }
    content = {
        "title": summary.study,
        "summary": summary,
        "charts": charts,
        "accuracy": accuracy_table(summary),
        "differences": difference_table(summary),
        "below_dense": dense_table(summary),
        "costs": cost_table(summary),
        "notes": missing_notes(summary),
        "doubt": doubt(summary),
        "about": [(name.replace("_", " "), str(value)) for name, value in about.items()],
    }
    return write_atomic(root / "report.html", render_template("study.html.jinja", content, "tamis.study"))


def accuracy_text(results: Sequence[CellResult], reference: str) -> str:
    """The table of accuracies and the notes on missing cells, for a terminal."""
    summary = summarise(results, reference)
    return "\n".join([markdown(accuracy_table(summary)), "", doubt(summary), *missing_notes(summary)])


def tables_text(summary: Summary) -> str:
    """The tables and notes as Markdown."""
    parts = [f"# {summary.study}", doubt(summary)]
    notes = missing_notes(summary)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    parts += ["## Held-out accuracy, %", markdown(accuracy_table(summary))]
    parts += [f"## Minus {summary.reference}, percentage points", markdown(difference_table(summary))]
    parts += ["## Minus dense, percentage points", markdown(dense_table(summary))]
    parts += ["## Costs", markdown(cost_table(summary))]
    return "\n\n".join(parts) + "\n"


def doubt(summary: Summary) -> str:
    """How sure one can be: in words, with this study's numbers."""
    if summary.seeds == 1:
        return "One seed: there are no intervals, and differences between methods may be chance."
    image = 100 / summary.held_out if summary.held_out else float("nan")
    return (
        f"Means over {summary.seeds} seeds ± half the Student-t 95 % interval; one held-out image is {image:.2f} "
        "points. The seeds share one split of the data: the intervals tell what another seed would give, not another "
        "data set. With many methods some differences look significant by chance: p-values are not corrected for that."
    )
