"""Offline HTML pages of runs, audits and sieved sources, and what pages of other rooms are made of."""

from tamis.report._html import render_template, require_extra
from tamis.report._page import render_report, write_report
from tamis.report._read import Run, read_run
from tamis.report._sieve import check_page, write_sieve_report
from tamis.report._svg import LIGHT, Chart, draw_svg, render_chart
from tamis.report._tables import Table
from tamis.report.audit import read_images, render_audit_report, write_audit_report

__all__ = [
    "LIGHT",
    "Chart",
    "Run",
    "Table",
    "check_page",
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
    "write_sieve_report",
]
