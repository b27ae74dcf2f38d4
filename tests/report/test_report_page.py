"""The whole page: what it says, how it is built, and what it never does."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import sys

import pytest
from html_check import Page
from run_folders import LIVE, SUMMARY, TOTAL, all_rows, epoch_row, write_run

from tamis.errors import FileError, UsageError
from tamis.report import read_run, render_report, write_report


def page_of(folder) -> Page:
    return Page(render_report(read_run(folder)))


def test_the_page_is_written_beside_the_run(complete_run, complete_html):
    assert (complete_run / "report.html").read_text(encoding="utf-8") == complete_html
    assert complete_html.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    "words",
    [
        "98.6 %",  # accuracy dense
        "98.1 %",  # accuracy sparse
        "\u22120.5 points",
        "90.04 %",
        f"{LIVE:,} weights live",
        f"of {TOTAL:,} prunable; 88.7 % over all layers",
        "21.4 ms",
        "9.1 ms",
        "2.4\u00d7 faster",
        "312 kB",
        "71.2 kB",
        "4.4\u00d7 smaller",
        "AC/DC, on digits, model resnet8_digits, 40 epochs, seed 7.",
        "98.89 %",  # top-1 agreement
        "0.0213",  # KL
        "0.0714",  # cross-entropy
        "Forward mask-based 14.1 % 342,840 2,431,488 FLOPs of a dense forward pass, per sample",
        "Training exact nnz 52.1 % 3,800,416 7,294,464 FLOPs of a dense training step, per sample",
        "Training CPU time, measured 71.",
        "Training wall-clock, measured 100.0 %",
        "sparse against dense, 360 samples",
        "Dead units: outputs without a live weight",
        "39 0.0625 98.6 %",  # the dense twin
        "training step 21.4 ms 9.1 ms 1",
        "layer3.0.conv2",
        "torch 2.13.0",
        "isa avx512",
        "load average 0.4, 0.5, 0.6",
        "numpy 2.4.6",  # only the summary knows it
        "paper Peste et al., NeurIPS 2021",
        "epochs = 40 seed = 7",  # the recipe's own text
    ],
)
def test_the_page_says(complete_page, words):
    assert words in complete_page.text


def test_every_section_is_there_and_in_the_table_of_contents(complete_page):
    sections = [attributes["id"] for attributes in complete_page.all("section")]
    links = [attributes["href"][1:] for attributes in complete_page.all("a") if "class" not in attributes]
    assert sections == ["headline", *links]
    assert links == ["time", "layers", "masks", "flops", "speed", "pair", "probe", "provenance"]


def test_the_structure_is_valid_and_accessible(complete_page):
    assert complete_page.problems == []
    ids = [attributes["id"] for _, attributes in complete_page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("alt") for attributes in complete_page.all("img"))
    assert len(complete_page.all("img")) == 5
    assert len(complete_page.all("caption")) == len(complete_page.all("table")) == 9
    levels = [int(tag[1]) for tag, _ in complete_page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(attributes.get("scope") for attributes in complete_page.all("th"))


def test_the_policy_allows_data_images_and_exactly_the_one_style_sheet(complete_html, complete_page):
    (policy,) = [
        attributes["content"]
        for attributes in complete_page.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    (style,) = re.findall(r"<style>(.*?)</style>", complete_html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_the_page_has_no_script_no_inline_style_and_asks_nothing_of_the_network(complete_html, complete_page):
    assert complete_page.tags().isdisjoint({"script", "iframe", "object", "embed", "form", "base", "video", "audio"})
    for tag, attributes in complete_page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "srcset", "href", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#"))
    (style,) = re.findall(r"<style>(.*?)</style>", complete_html, flags=re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in re.sub(r"http-equiv|base64,[A-Za-z0-9+/=]*", "", complete_html)


def test_equal_runs_give_equal_pages_byte_for_byte(tmp_path, complete_html):
    assert write_report(write_run(tmp_path / "digits")).read_text(encoding="utf-8") == complete_html


HOSTILE = '</style><script>alert("1")</script>\'"><img src=x onerror=alert(2)>&amp;$x^2$ \u202e\u4e2d'


def test_hostile_names_and_texts_are_shown_and_never_run(tmp_path):
    rows = [{"kind": "note", "text": HOSTILE}, {"kind": "speed", HOSTILE: HOSTILE}, {"kind": "twin", HOSTILE: HOSTILE}]
    summary = {
        **SUMMARY,
        "recipe": HOSTILE,
        "layers": [{"name": HOSTILE, "live": 0, "total": 10}],
        "choices": [{HOSTILE: HOSTILE}],
        "warnings": [HOSTILE],
        "flops": {"rows": [{"row": HOSTILE, "count": HOSTILE, "fraction": 0.5}]},
    }
    recipe = f"# {HOSTILE}\nmethod = '''{HOSTILE}'''\n[source]\npaper = '''{HOSTILE}'''\n"
    folder = write_run(tmp_path / "x<y>", rows=rows, summary=summary, recipe=recipe, env={HOSTILE: {HOSTILE: HOSTILE}})
    page = page_of(folder)
    assert page.problems == []
    assert page.tags().isdisjoint({"script", "img"})
    assert page.text.count(HOSTILE) >= 15
    assert "x<y>" in page.text


def test_hostile_event_rows_are_escaped_in_tables_and_charts(tmp_path):
    event = {"kind": "mask", "step": 30, "event": "prune", "sparsity": 0.5, "hash": HOSTILE, "mask_change_percent": 1}
    event["layers"] = {HOSTILE: {"live": 5, "total": 10}}
    page = page_of(write_run(tmp_path, rows=[event], summary=None))
    assert page.problems == []
    assert "script" not in page.tags()
    assert HOSTILE in page.text


def test_an_unfinished_run_shows_its_latest_values(tmp_path):
    rows = [row for row in all_rows() if row.get("step", 9999) <= 20 * 22]
    page = page_of(write_run(tmp_path / "going", rows=rows, summary=None, tail=b'{"kind": "epo'))
    assert page.problems == []
    assert "Unfinished run." in page.text
    assert f"Line {len(rows) + 1} of metrics.jsonl is half-written and was left out." in page.text
    assert "Accuracy on held-out data, so far" in page.text
    assert "Size of the model file" not in page.text
    assert f"Counted from the masks made at step {20 * 22:,}" in page.text


def test_a_run_without_a_single_row_still_has_a_page(tmp_path):
    page = page_of(write_run(tmp_path, rows=[], summary=None, env=None))
    assert page.problems == []
    assert "No epoch has been logged yet" in page.text
    assert "metrics.jsonl is empty" in page.text
    assert "There is no env.json" in page.text
    assert page.all("img") == []


@pytest.mark.parametrize(("method", "shaded"), [("gmp", True), ("oneshot", True), ("dense", False)])
def test_runs_of_other_methods_have_pages_too(tmp_path, method, shaded):
    gone = {"accuracy_dense", "pair"} if shaded else {"accuracy_sparse", "pair", "layers", "sparsity", "choices"}
    summary = {key: value for key, value in SUMMARY.items() if key not in gone}
    page = page_of(write_run(tmp_path, rows=all_rows(method)[::2], summary=summary))
    assert page.problems == []
    assert ("Sparse phases are shaded." in page.text) is shaded
    assert "The pair's agreement" not in page.text
    assert "Memorisation probe" not in page.text
    assert ("Mask events." in page.text) is shaded


def test_a_diverged_run_with_nothing_but_nan_has_a_page(tmp_path):
    lost = dict.fromkeys(("train_loss", "test_loss", "train_accuracy", "test_accuracy", "exact_zeros"), float("nan"))
    rows = [{**epoch_row(epoch), **lost, "step_cpu_ms": None} for epoch in (1, 2, 3)]
    page = page_of(write_run(tmp_path, rows=rows, summary=None))
    assert page.problems == []
    assert page.all("img") == []


def test_a_long_list_of_choices_is_folded_away(tmp_path):
    rows = [{"layer": f"layer{number}", "use": "sparse"} for number in range(25)]
    short, long = (
        page_of(write_run(tmp_path / str(count), rows=[], summary={"choices": rows[:count]})) for count in (24, 25)
    )
    assert short.problems == long.problems == []
    assert "details" not in short.tags()
    assert "The chooser's 25 decisions" in long.text


def test_a_busy_machine_is_flagged(tmp_path):
    quiet = page_of(write_run(tmp_path / "quiet", rows=[], env={"load_average": [1.9, 0, 0], "cpus": 2}))
    busy = page_of(write_run(tmp_path / "busy", rows=[], env={"load_average": [5.25, 0, 0], "cpus": 2}))
    assert "The machine was busy" not in quiet.text
    assert "The machine was busy (load 5.25 on 2 processors)" in busy.text


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_one_clear_error_and_nothing_is_written(tmp_path, monkeypatch, missing):
    folder = write_run(tmp_path / "run", rows=[])
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=rf"needs {missing}.*pip install tamis\[report\]"):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_a_page_that_cannot_be_written_is_a_file_error(tmp_path):
    folder = write_run(tmp_path / "run", rows=[])
    (folder / "report.html").mkdir()
    with pytest.raises(FileError, match=r"report\.html cannot be written"):
        write_report(folder)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
