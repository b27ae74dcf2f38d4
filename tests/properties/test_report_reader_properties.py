"""Properties of the report's reader: a log cut anywhere is read up to the cut, and no text becomes markup."""

from __future__ import annotations

import json
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.report import read_run

ROWS = [
    {"kind": "epoch", "epoch": 1, "step": 10, "phase": "dense", "test_accuracy": 0.5},
    {
        "kind": "mask",
        "step": 10,
        "event": "compress",
        "sparsity": 0.5,
        "layers": {"stra\u00dfe": {"live": 1, "total": 2}},
    },
    {"kind": "note", "text": "caf\u00e9"},
    {"kind": "epoch", "epoch": 2, "step": 20, "phase": "sparse", "test_accuracy": 0.6},
]
LOG = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, len(LOG)))
def test_a_log_cut_at_any_byte_is_read_up_to_the_last_whole_row(cut):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "metrics.jsonl").write_bytes(LOG[:cut])
        run = read_run(folder)
    whole = LOG[:cut].count(b"\n")
    rows = len(run.epochs) + len(run.masks) + len(run.notes)
    unended = LOG[:cut].rpartition(b"\n")[2]
    at_end_of_row = unended in LOG.split(b"\n") and bool(unended)
    assert rows == whole + at_end_of_row
    assert any("half-written" in remark for remark in run.remarks) == (bool(unended) and not at_end_of_row)


class _Text(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@settings(deadline=None, max_examples=20)
@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_any_layer_name_is_shown_as_it_is_and_adds_no_element(name):
    pytest.importorskip("jinja2", reason="the report needs the extra tamis[report]")
    pytest.importorskip("matplotlib", reason="the report needs the extra tamis[report]")
    from tamis.report import render_report

    pages = []
    for layer in (name, "plain"):
        with tempfile.TemporaryDirectory(prefix="same") as folder:
            summary = {"recipe": "r", "layers": {layer: {"live": 1, "total": 2}}}
            (Path(folder) / "summary.json").write_text(json.dumps(summary))
            pages.append(_Text(render_report(read_run(folder))))
    assert name in pages[0].text
    assert pages[0].tags == pages[1].tags
