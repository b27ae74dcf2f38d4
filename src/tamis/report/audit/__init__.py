"""The audit's report as one HTML page that works offline (extra ``tamis[report]``; pictures need ``tamis[vision]``)."""

from tamis.report.audit._images import read_images
from tamis.report.audit._page import render_audit_report, write_audit_report

__all__ = ["read_images", "render_audit_report", "write_audit_report"]
