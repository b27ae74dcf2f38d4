"""The pages of studies with markup in every text that reaches them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostile_markup import MARK, check_is_text
from tamis.study import write_source_report, write_study_report

from .conftest import made_up
from .source_rows import made_up as source_row

pytest.importorskip("jinja2", reason="the report needs the extra tamis[report]")


def test_a_study_of_methods_shows_markup_as_text(tmp_path):
    rows = made_up(["gmp", "rigl"])
    rows = [replace(r, method=MARK if r.method == "rigl" else r.method, study=MARK, cell=r.cell + MARK) for r in rows]
    rows[-1] = replace(rows[-1], state="failed", error=MARK)
    about = {"study": MARK, MARK: MARK, "data": MARK, "versions": {MARK: MARK}, "processor": MARK}
    page = write_study_report(rows, tmp_path, reference="gmp", about=about)
    check_is_text(page.read_text(encoding="utf-8"))
    for figure in (tmp_path / "figures").iterdir():
        assert "<script" not in figure.read_text(encoding="utf-8")


def test_a_study_of_sources_shows_markup_as_text(tmp_path):
    rows = [{**source_row(0.7, 0.0), "data": MARK}, {**source_row(0.6, 0.3), "adversary": MARK}]
    page = write_source_report(rows, tmp_path, failed={f"cell{MARK}": MARK}, about={MARK: MARK})
    check_is_text(page.read_text(encoding="utf-8"))
