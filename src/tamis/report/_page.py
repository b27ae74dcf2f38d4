"""The page of one run: what it shows, in which order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.errors import FileError
from tamis.report._charts import charts_of
from tamis.report._format import percent
from tamis.report._headline import cards_of, description, setting
from tamis.report._html import render_template, require_extra
from tamis.report._layers import layers_of
from tamis.report._ledger import ledger_of
from tamis.report._phases import axis_of, phases_of
from tamis.report._read import Run, read_run
from tamis.report._sections import (
    busy_warning,
    epochs_table,
    events_table,
    pair_table,
    phases_table,
    provenance_of,
    reference_of,
)
from tamis.report._tables import free_table
from tamis.report._transfer import is_transfer, render_transfer, transfer_rows
from tamis.storage import write_atomic


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Render the run in ``run_folder`` to ``report.html`` inside it and return that file's path.

    Works for finished and unfinished runs of any method, and for transfers; equal folders give equal pages, byte for
    byte.

    Raises UsageError if jinja2 or matplotlib is not installed, FileError if the folder is no run folder, if a file in
    it is damaged (the message names file and line), or if the page cannot be written; an older page is then left as
    it was.
    """
    require_extra()
    folder = Path(run_folder)
    page = render_transfer(folder) if is_transfer(folder) else render_report(read_run(folder), transfer_rows(folder))
    target = folder / "report.html"
    try:
        return write_atomic(target, page)
    except OSError as problem:
        raise FileError(
            f"{target} cannot be written ({problem.strerror}); free the disk or make it writable."
        ) from None


def render_report(run: Run, transfers: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page of ``run`` as HTML text, with a row for each record in ``transfers`` (:func:`transfer_rows`).

    Raises UsageError if jinja2 or matplotlib is not installed.
    """
    require_extra()
    return render_template("page.html.jinja", {"percent": percent, **_content(run, transfers)})


def _content(run: Run, transfers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything that the template shows besides the style; keys are the template's variables."""
    axis = axis_of(run)
    spans = phases_of(run)
    layers = layers_of(run)
    content: dict[str, Any] = {
        "run": run,
        "title": run.summary.recipe or setting(run.recipe, "name") or run.name,
        "description": description(run),
        "cards": cards_of(run, spans, layers),
        "warnings": tuple(dict.fromkeys((*run.summary.warnings, *layers.warnings))),
        "busy": busy_warning(run.env),
        "charts": charts_of(run, axis, spans),
        "two_kinds": len({span.kind for span in spans}) > 1,
        "phases": phases_table(spans, axis),
        "events": events_table(run, axis),
        "layers": layers,
        "ledger": ledger_of(run, spans),
        "choices": free_table(run.summary.choices),
        "speeds": free_table(run.speeds),
        "pair": pair_table(run),
        "twin": free_table(run.twin),
        "transfers": free_table(transfers),
        "epochs": epochs_table(run),
        "reference": reference_of(run),
        "provenance": provenance_of(run),
    }
    return {**content, "sections": _sections(content)}


def _sections(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Anchor and words of every section that the page will have, for its table of contents."""
    charts = content["charts"]
    present = (
        ("time", "Over time", content["epochs"] or content["phases"]),
        ("layers", "Layers", content["layers"].rows),
        ("masks", "Masks", content["events"]),
        ("flops", "FLOPs", content["ledger"]),
        ("speed", "Speed", "speed" in charts or content["speeds"] or content["choices"]),
        ("pair", "Agreement", content["pair"] or content["twin"]),
        ("probe", "Memorisation", "probe" in charts),
        ("transfer", "Transfer", content["transfers"]),
        ("provenance", "Provenance", True),
    )
    return [(key, words) for key, words, there in present if there]
