"""The audit's page: what it shows, in which order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamis.errors import FileError, UsageError
from tamis.report._html import render_template, require_extra
from tamis.report.audit._content import SCHEMA, Audit, read_content
from tamis.report.audit._curves import curve_charts, curves_table
from tamis.report.audit._data import MOST_HISTOGRAMS, groups_of, script_data
from tamis.report.audit._definitions import definitions_of
from tamis.report.audit._foretell import foretelling_of
from tamis.report.audit._gallery import gallery_of
from tamis.report.audit._groups import groups_table
from tamis.report.audit._heat import heat_of, pairs_table
from tamis.report.audit._images import addresses
from tamis.report.audit._measures import measures_of
from tamis.report.audit._origins import origins_of, undefined_of
from tamis.report.audit._rules import verdict_of
from tamis.report.audit._spread import spread_charts
from tamis.report.audit._text import script_json
from tamis.report.audit._verdict import cards_of, glance_table, subject_of
from tamis.storage import write_atomic

ROOM = "tamis.report.audit"
MOST_BYTES = 5_000_000  # of a page, as far as histograms can be left out for it
RESERVE = 1_000  # bytes of the sentence that says how many were
TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("page_1_elements.js", "page_2_heat.js", "page_3_plots.js", "page_4_pair.js", "page_5_gallery.js")


def write_audit_report(report: Any, path: str | os.PathLike[str], *, images: Mapping[str, bytes] | None = None) -> Path:
    """Write the page of an audit to ``path``, atomically, and return that path.  See :func:`render_audit_report`.

    Raises:
        FileError: the page cannot be written; an older page is then left as it was.
    """
    page = render_audit_report(report, images=images)
    try:
        return write_atomic(path, page)
    except OSError as problem:
        raise FileError(f"{path} cannot be written ({problem.strerror}); free the disk or make it writable.") from None


def render_audit_report(report: Any, *, images: Mapping[str, bytes] | None = None) -> str:
    """The page of an audit: one HTML text that works offline and asks nothing of the network.

    Equal reports give equal pages, byte for byte.  The page is readable and printable without its script.

    Args:
        report: an AuditReport, or the dict of its JSON (schema ``tamis.audit/1``).
        images: PNG files by sample id for the gallery, as :func:`read_images` makes them.  None shows none: pictures
            of samples are often faces.

    Raises:
        UsageError: jinja2 or matplotlib is not installed, the report has another schema or lacks a part, or an image is
            no PNG file.
    """
    require_extra()
    try:
        from markupsafe import Markup

        audit = read_content(report)
        shown, no_room = addresses(images)
        content = _content(audit, len(shown), no_room)
        without = script_data(audit, shown, 0)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as problem:
        if isinstance(problem, UsageError):
            raise
        raise UsageError(
            f"the report does not fit the schema {SCHEMA} ({type(problem).__name__}: {problem}); expected the object "
            "of AuditReport.to_json(), unchanged"
        ) from problem
    style = (TEMPLATES / "audit.css").read_text(encoding="utf-8")

    def page(data: Mapping[str, Any]) -> str:
        content["data"] = Markup(script_json(data))
        return render_template("audit.html.jinja", content, ROOM, more_style=style, script=_script())

    # Everything else comes first; histograms of the smallest changes are what a large page can best do without.
    room = MOST_BYTES - RESERVE - len(page(without).encode("utf-8"))
    return page(script_data(audit, shown, max(0, min(MOST_HISTOGRAMS, room))))


def _script() -> str:
    """The parts of the page's script as one closed scope."""
    parts = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _content(audit: Audit, shown: int, no_room: int) -> dict[str, Any]:
    """Everything that the template shows but the script's ``data``; keys are the template's variables."""
    return {
        "audit": audit,
        "title": _title(audit),
        "subject": subject_of(audit),
        "verdict": verdict_of(audit),
        "cards": cards_of(audit),
        "glance": glance_table(audit),
        "curves": {chart.key: chart for chart in (*curve_charts(audit), *spread_charts(audit))},
        "curves_table": curves_table(audit),
        "heat": heat_of(audit),
        "pairs": pairs_table(audit),
        "definitions": definitions_of(audit),
        "foretelling": foretelling_of(audit),
        "gallery": gallery_of(audit),
        "groups": groups_of(audit),
        "groups_table": groups_table(audit),
        "images": shown,
        "images_left_out": no_room,
        "measures": measures_of(audit),
        "undefined": undefined_of(audit),
        "origins": origins_of(audit),
    }


def _title(audit: Audit) -> str:
    series = list(dict.fromkeys(condition.series for condition in audit.compressed))
    return f"Bias audit: {'; '.join(series[:3])}{' and others' if len(series) > 3 else ''}" if series else "Bias audit"
