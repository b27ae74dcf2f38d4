"""What the study of sources leaves to look at: a page that works offline, and its tables as Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.report import render_template, require_extra
from tamis.storage import write_atomic
from tamis.study._source_published import Agreement
from tamis.study._source_summary import present, setting, settings
from tamis.study._source_tables import agreement_table, kept_bad_table, title_of, worst_table
from tamis.study._tables import markdown

Row = Mapping[str, Any]
WORST = (
    "Accuracy / fairness in percent on the clean test part, mean ± standard deviation over seeds of the minimum over "
    "the adversaries, taken for accuracy and fairness separately; fairness is 1 minus the demographic-parity "
    "violation. Original and oracle do not depend on the adversary."
)
KEPT = (
    "Share of bad sources among those kept, mean over seeds. FLEA keeps as many sources as are clean, as in the "
    "published runs. The adversary none manipulates nothing: its bad sources are as good as the others."
)
AGREEMENT = (
    "Ours in percent, mean over all cells, and its difference to the published mean of the same cells in percentage "
    "points. Equal: within .0011, as published numbers have three decimals. The published runs have one FLEA, with the "
    "published disparity."
)


def write_source_report(
    rows: Sequence[Row],
    folder: str | os.PathLike[str],
    *,
    agreement: Sequence[Agreement] = (),
    failed: Mapping[str, str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``report.html`` and ``tables.md``; returns the path of the page.

    Args:
        rows: of :func:`run_source_study`.
        folder: made if missing.
        agreement: of :func:`compare`; empty where the published results are not at hand.
        failed: the error of each cell that has no result.
        about: what is shown below "Provenance".

    Raises:
        UsageError: jinja2 or matplotlib is not installed.
    """
    require_extra()
    root = Path(folder)
    write_atomic(root / "tables.md", source_tables_text(rows, agreement))
    seeds = len({row["seed"] for row in rows})
    content = {
        "title": "Sources",
        "lead": (
            f"{len(settings(rows))} table(s), {len(present(rows, 'adversary'))} adversaries, {seeds} seed(s), "
            f"{len(present(rows, 'method'))} methods, {len(present(rows, 'learner'))} learners."
        ),
        "worst": [(title_of(what), worst_table(_of(rows, what), what)) for what in settings(rows)],
        "worst_caption": WORST,
        "kept": kept_bad_table(rows) if rows else None,
        "kept_caption": KEPT,
        "agreement": agreement_table(agreement) if agreement else None,
        "agreement_caption": AGREEMENT,
        "notes": [f"{name} failed: {error}" for name, error in (failed or {}).items()],
        "about": [(name.replace("_", " "), str(value)) for name, value in (about or {}).items()],
    }
    return write_atomic(root / "report.html", render_template("sources.html.jinja", content, "tamis.study"))


def source_tables_text(rows: Sequence[Row], agreement: Sequence[Agreement] = ()) -> str:
    """The tables as Markdown."""
    parts = ["# Sources"]
    if rows:
        parts += ["## Worst adversary", WORST]
        for what in settings(rows):
            parts += [f"### {title_of(what)}", markdown(worst_table(_of(rows, what), what))]
        parts += ["## Bad sources kept", KEPT, markdown(kept_bad_table(rows))]
    if agreement:
        parts += ["## Beside the published results", AGREEMENT, markdown(agreement_table(agreement))]
    return "\n\n".join(parts) + "\n"


def _of(rows: Sequence[Row], what: tuple[str, int, int]) -> list[Row]:
    return [row for row in rows if setting(row) == what]
