"""Offline HTML pages: of a run folder, of an audit, and what other rooms make theirs of (extra ``tamis[report]``)."""

from tamis.report._html import render_template, require_extra
from tamis.report._page import render_report, write_report
from tamis.report._read import Run, read_run
from tamis.report._svg import LIGHT, Chart, draw_svg, render_chart
from tamis.report._tables import Table
from tamis.report.audit import read_images, render_audit_report, write_audit_report

__all__ = [
    "LIGHT",
    "Chart",
    "Run",
    "Table",
    "draw_svg",
    "read_images",
    "read_run",
    "render_audit_report",
    "render_chart",
    "render_report",
    "render_template",
    "require_extra",
    "write_audit_report",
    "write_report",
]
