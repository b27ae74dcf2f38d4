"""Tables and page of a study of sources."""

from __future__ import annotations

import pytest

from tamis.study import write_source_report
from tamis.study._source_summary import kept_bad, spread, worst_case
from tamis.study._source_tables import kept_bad_table, worst_table

from .source_rows import made_up


def test_a_table_cell_is_the_mean_over_seeds_of_the_worst_adversary():
    rows = [
        made_up(0.8, 0.0), made_up(0.6, 1 / 3, adversary="none"), made_up(0.7, 0.5, seed=1),
        made_up(0.9, 0.0, seed=1, adversary="none"), made_up(0.75, None, method="oracle"),
    ]  # fmt: skip
    worst = worst_case(rows, "accuracy")
    assert worst[("german", 5, 2), "flea", "none"] == spread([0.6, 0.7])
    assert worst[("german", 5, 2), "oracle", "none"].mean == 0.75
    assert kept_bad(rows)[("german", 5, 2), "random", "flea"].mean == pytest.approx(0.25)
    table = worst_table(rows, ("german", 5, 2))
    assert table.rows[1][1].replace("\u00a0", " ") == "65.0 ± 5.0 / 90.0 ± 0.0"
    kept = kept_bad_table(rows)
    assert kept.rows[-1] == ("mean of attacks", "0.250")  # "none" is no attack


def test_the_page_stands_alone_and_escapes_what_it_shows(tmp_path):
    page = write_source_report([made_up(0.7, 0.0)], tmp_path, failed={"cell": "<b>broken</b>"}, about={"load": 1})
    text = page.read_text()
    assert "&lt;b&gt;broken" in text
    assert "http" not in text.replace("http-equiv", "")
    empty = write_source_report([], tmp_path / "empty")
    assert "0 table(s)" in empty.read_text()
