"""One offline HTML page from a run folder (needs the extra ``tamis[report]``)."""

from tamis.report._page import render_report, write_report
from tamis.report._read import Run, read_run

__all__ = ["Run", "read_run", "render_report", "write_report"]
