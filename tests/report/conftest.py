"""One complete page, drawn once for all tests that only look at it."""

from __future__ import annotations

import pytest
from html_check import Page
from run_folders import write_run

from tamis.report import write_report


@pytest.fixture(scope="session")
def complete_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="session")
def complete_html(complete_run):
    return write_report(complete_run).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def complete_page(complete_html):
    return Page(complete_html)
