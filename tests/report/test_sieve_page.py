"""The page of a sieved table: complete, well-formed, offline, and safe with names from outside."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from html_check import Page

from tamis.errors import FileError, UsageError
from tamis.report import write_sieve_report
from tamis.sources import SieveOptions, read_table, sieve_table


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    rng = np.random.default_rng(1)
    names = np.array(["north", "south", "<b>west</b>", "east & co", "a branch with a long name indeed"])
    branch = np.repeat(names, 100)
    x = rng.normal(size=500)
    y = x + 0.3 * rng.normal(size=500) > 0
    y[branch == names[2]] = ~y[branch == names[2]]
    path = tmp_path_factory.mktemp("sieve") / "t.csv"
    pd.DataFrame({"s": branch, "x": x, "y": y.astype(int), "a": rng.integers(0, 2, 500)}).to_csv(path, index=False)
    return sieve_table(read_table(path), SieveOptions(source="s", target="y", sensitive="a")).record


@pytest.fixture(scope="module")
def page(record, tmp_path_factory):
    return Page(write_sieve_report(record, tmp_path_factory.mktemp("page") / "r.html").read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_asks_nothing_of_the_network(page):
    assert not page.problems
    assert "script" not in page.tags()
    for image in page.all("img", "source"):
        assert re.match(r"data:image/svg\+xml;base64,", image.get("src") or image.get("srcset"))
    assert len(page.all("img")) == 3
    assert all(image["alt"] for image in page.all("img"))


def test_every_source_and_the_reason_of_the_rejected_one_are_there(page, record):
    for source in record["sources"]:
        assert source["name"] in page.text, "names are escaped, and shown in full"
    (rejected,) = record["rejected"]
    assert rejected == "<b>west</b>"
    why = next(source["why"] for source in record["sources"] if source["name"] == rejected)
    assert " ".join(why.split()) in " ".join(page.text.split())  # the page is read with plain spaces
    assert "b" not in page.tags()
    assert record["sha256"] in page.text
    assert "4 of 5 sources kept" in page.text


def test_rejected_sources_stand_first_and_lead_to_their_reasons(page, record):
    places = {link["href"]: link for link in page.all("a")}
    assert "#rejected-1" in places
    assert [heading["id"] for heading in page.all("h3")] == ["rejected-1"]
    assert page.text.index("<b>west</b>") < page.text.index("Decision"), "above everything else"


def test_many_rejected_sources_are_counted_instead_of_listed(record, tmp_path):
    one = next(source for source in record["sources"] if not source["kept"])
    many = {**record, "sources": record["sources"] + [{**one, "name": f"bad {k}"} for k in range(20)]}
    many["order"] = [source["name"] for source in many["sources"]]
    size = len(many["sources"])
    many["matrices"] = {"distance": [[0.0 if i == j else 0.5 for j in range(size)] for i in range(size)]}
    page = Page(write_sieve_report(many, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert not page.problems
    assert "and 9 more" in " ".join(page.text.split())


def test_equal_records_give_equal_pages_also_through_json(record, tmp_path):
    first = write_sieve_report(record, tmp_path / "a.html").read_bytes()
    again = write_sieve_report(json.loads(json.dumps(record)), tmp_path / "b.html").read_bytes()
    assert first == again


def test_a_single_source_has_a_page_too(tmp_path):
    pd.DataFrame({"s": ["one"] * 4, "x": [1, 2, 3, 4], "y": [0, 1, 0, 1]}).to_csv(tmp_path / "t.csv", index=False)
    record = sieve_table(read_table(tmp_path / "t.csv"), SieveOptions(source="s", target="y")).record
    page = Page(write_sieve_report(record, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert not page.problems
    assert "nothing to compare it with" in page.text


def test_a_page_needs_a_name_that_says_so_and_a_place(record, tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.html"):
        write_sieve_report(record, tmp_path / "r.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        write_sieve_report(record, tmp_path / "file" / "r.html")
