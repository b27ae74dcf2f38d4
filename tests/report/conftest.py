"""Complete pages, drawn once for all tests that only look at them, and the browser that opens them."""

from __future__ import annotations

import browser as browsers
import pytest
from audit_content import simulated
from html_check import Page
from run_folders import write_run

from tamis.report import write_report
from tamis.report.audit import write_audit_report


@pytest.fixture(scope="session")
def complete_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="session")
def complete_html(complete_run):
    return write_report(complete_run).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def complete_page(complete_html):
    return Page(complete_html)


@pytest.fixture(scope="session")
def audit_content():
    return simulated()


@pytest.fixture(scope="session")
def audit_file(audit_content, tmp_path_factory):
    """Its charts are empty; whole pages with charts are opened in test_pages_in_browser.py."""
    with pytest.MonkeyPatch.context() as patch:
        _without_lines(patch)
        return write_audit_report(audit_content, tmp_path_factory.mktemp("audit") / "audit.html")


@pytest.fixture(scope="session")
def audit_html(audit_file):
    return audit_file.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def audit_page(audit_html):
    return Page(audit_html)


@pytest.fixture(scope="session")
def hostile_file(tmp_path_factory):
    """The page of an audit whose names and texts try to break out of it."""
    from test_audit_hostile import hostile_content

    return write_audit_report(hostile_content(), tmp_path_factory.mktemp("hostile") / "audit.html")


@pytest.fixture
def real_charts():
    """Asked for by tests that need the charts themselves; see ``quick_charts``."""


@pytest.fixture
def quick_charts(request, monkeypatch):
    """Charts of the audit's page without their lines: most tests look at everything but those, and drawing is slow."""
    if "real_charts" not in request.fixturenames:
        _without_lines(monkeypatch)


def _without_lines(patch):
    patch.setattr("tamis.report._svg.draw_svg", lambda *_, **__: '<svg xmlns="http://www.w3.org/2000/svg"/>')


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def browser(downloads):
    why = browsers.missing()
    if why:
        pytest.skip(why)
    with browsers.chromium(downloads) as found:
        yield found
