"""The page of an audit in a real browser: the heat map, thresholds and the gallery, by mouse and by keyboard.

Skipped as test_pages_in_browser.py is.
"""

from __future__ import annotations

import csv
import time

import pytest
from browser_scripts import CHOOSE, LAST, SHOWN, quiet
from test_audit_hostile import hostile_content

from tamis.report.audit import read_images, write_audit_report


class TestHeatMap:
    def test_one_model_is_shown_and_the_chooser_changes_it(self, browser, audit_file):
        browser.open(audit_file)
        visible = f"{SHOWN}.map((e) => e.textContent)"
        assert [text.replace("\u00a0", " ") for text in browser.run(visible, "table.heat caption")] == [
            "gmp, 98 % sparse"
        ]
        browser.tab_to("#run")
        browser.press("Home")
        assert [text.replace("\u00a0", " ") for text in browser.run(visible, "table.heat caption")] == [
            "gmp, 80 % sparse"
        ]

    def test_tab_reaches_it_once_arrows_move_and_enter_opens_the_cell(self, browser, audit_file, audit_content):
        browser.open(audit_file)
        browser.tab_to("table.heat button")
        for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
            browser.press(key)
        label = browser.run("return document.activeElement.getAttribute('aria-label')")
        assert label.startswith("Big by Striped: change ")
        browser.press("Enter")
        assert browser.run("return document.activeElement.textContent").startswith("Big by Striped, gmp")
        pair = next(
            p
            for p in audit_content["pairs"]
            if (p["condition"], p["attribute"], p["identity"]) == ("gmp@sparsity=0.98", "Big", "Striped")
        )
        cells = browser.run(
            "const table = document.querySelector('#pair .two table');"
            "return [...table.querySelectorAll('td')].map((e) => e.textContent)"
        )
        dense, compressed = pair["counts"]["dense"], pair["counts"]["compressed"]
        expected = [side[g][y][p] for g in (1, 0) for y in (1, 0) for side in (dense, compressed) for p in (1, 0)]
        assert [int(cell.replace(",", "")) for cell in cells] == expected
        browser.press("Escape")
        assert browser.run("return document.getElementById('pair').hidden")
        assert browser.run("return document.activeElement.getAttribute('aria-label')") == label
        before = browser.run(
            "return document.activeElement.closest('table').querySelectorAll('button[tabindex=\"0\"]').length"
        )
        assert before == 1
        quiet(browser, audit_file)

    def test_an_undefined_cell_says_why(self, browser, audit_file):
        browser.open(audit_file)
        browser.run(f"{LAST}.querySelector('td.none button').click()")
        assert "Fewer than 10 true positives" in browser.run("return document.getElementById('pair').textContent")
        assert browser.failures() == []

    def test_rows_sort_by_the_largest_rise(self, browser, audit_file, audit_content):
        browser.open(audit_file)
        browser.run(CHOOSE, "#sort", "change")
        rows = browser.run(f"return [...{LAST}.tBodies[0].rows].map((row) => row.cells[0].textContent)")
        rise = {
            name: max(
                (
                    p["change"]["mean"]
                    for p in audit_content["pairs"]
                    if p["attribute"] == name and p["condition"] == "gmp@sparsity=0.98" and not p["reason"]
                ),
                default=-9,
            )
            for name in audit_content["attributes"]
        }
        assert rows == sorted(rise, key=lambda name: -rise[name])


class TestThresholds:
    @pytest.fixture
    def opened(self, browser, audit_file):
        browser.open(audit_file)
        browser.run(f"{LAST}.querySelector('button').click()")
        return browser

    def values(self, browser):
        rows = browser.run(
            "const rows = [...document.querySelectorAll('#threshold-result tbody tr')];"
            "return rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        return {row[0]: row[1:] for row in rows}

    def test_at_one_half_it_repeats_the_report(self, opened, audit_content):
        pair = next(p for p in audit_content["pairs"] if p["condition"] == "gmp@sparsity=0.98")
        counts = [pair["counts"][side] for side in ("dense", "compressed")]
        accuracy = [
            100 * sum(c[g][y][y] for g in (0, 1) for y in (0, 1)) / sum(sum(map(sum, g)) for g in c) for c in counts
        ]
        shown = self.values(opened)["Accuracy"]
        assert [float(text.split("\u00a0")[0]) for text in shown[:2]] == pytest.approx(accuracy, abs=0.051)
        assert "approximate" in opened.run("return document.querySelector('#threshold-result caption').textContent")

    def test_the_keyboard_moves_one_slider_and_only_that_model_changes(self, opened):
        before = self.values(opened)
        opened.tab_to("#threshold-compressed")
        for _ in range(5):
            opened.press("ArrowRight")
        assert opened.run("return document.activeElement.getAttribute('aria-valuetext')").startswith("p > 0.55")
        after = self.values(opened)
        assert [row[0] for row in after.values()] == [row[0] for row in before.values()]
        ratio = "Predicted yes / labelled yes"
        assert float(after[ratio][1]) < float(before[ratio][1])

    def test_at_the_ends_everything_or_nothing_is_predicted(self, opened):
        opened.run("document.getElementById('threshold-compressed').focus()")
        opened.press("End")
        assert self.values(opened)["Predicted yes / labelled yes"][1] == "0.000"
        assert self.values(opened)["Bias amplification"][1] == "\u2013"
        opened.press("Home")
        assert self.values(opened)["False negatives, Warm"][1] == "0.0\u00a0%"
        assert self.values(opened)["False positives, Warm"][1] == "100.0\u00a0%"

    def test_matching_the_labels_brings_the_ratio_close_to_one(self, opened):
        opened.run("[...document.querySelectorAll('#pair .buttons button')][1].click()")
        assert [abs(float(value) - 1) < 0.03 for value in self.values(opened)["Predicted yes / labelled yes"][:2]] == [
            True,
            True,
        ]


class TestGallery:
    def test_filters_keep_what_fits_and_say_how_many(self, browser, audit_file, audit_content):
        browser.open(audit_file)
        rows = audit_content["exemplars"][-1]["rows"]
        count = "return document.getElementById('gallery-count').textContent"
        assert browser.run(count) == f"{len(rows)} exemplars fit; page 1 of {-(-len(rows) // 24)}"
        browser.run(CHOOSE, "[data-filter=attribute]", "4")
        browser.run(CHOOSE, "[data-filter=direction]", "1")
        fit = [r for r in rows if r["attribute"] == "Thick" and r["flip"] == "0>1"]
        assert browser.run(count).startswith(f"{len(fit)} exemplar")
        assert browser.run("return document.querySelectorAll('.exemplar').length") == min(24, len(fit))
        browser.run(CHOOSE, "[data-filter=group]", "0,1")
        fit = [r for r in fit if r["groups"]["Warm"] == 1]
        assert browser.run(count).startswith(f"{len(fit)} exemplar")

    def test_pages_turn_by_keyboard(self, browser, audit_file):
        browser.open(audit_file)
        browser.tab_to("#gallery-next")
        browser.press("Enter")
        assert "page 2 of" in browser.run("return document.getElementById('gallery-count').textContent")
        assert not browser.run("return document.getElementById('gallery-before').disabled")

    def test_the_ids_are_saved_as_a_file_that_no_spreadsheet_runs(self, browser, hostile_file, downloads):
        browser.open(hostile_file)
        browser.run("document.getElementById('gallery-export').click()")
        target = downloads / "exemplars.csv"
        for _ in range(100):
            if target.exists() and target.stat().st_size:
                break
            time.sleep(0.1)
        with target.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        target.unlink()
        assert header == ["id", "attribute", "model", "label", "dense", "compressed", "p_dense", "p_compressed"]
        wanted = [row["id"] for row in hostile_content()["exemplars"][-1]["rows"]]
        assert [row[0] for row in rows] == ["'" + name.replace("\ud800", "\ufffd") for name in wanted]
        assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]
        assert browser.refused() == []

    @pytest.mark.usefixtures("quick_charts")
    def test_pictures_are_shown_when_given(self, browser, audit_content, tmp_path):
        image = pytest.importorskip("PIL.Image", reason="pictures need pillow: pip install tamis[vision]")
        first = audit_content["exemplars"][-1]["rows"][0]["id"]
        image.new("RGB", (16, 16), (200, 30, 30)).save(tmp_path / f"{first}.png")
        page = write_audit_report(audit_content, tmp_path / "audit.html", images=read_images(tmp_path, audit_content))
        browser.open(page)
        assert browser.broken_pictures() == 0
        assert browser.run(
            "return [...document.querySelectorAll('.exemplar img')].map((i) => [i.alt, i.naturalWidth])"
        ) == [[f"Image of sample {first}", 16]]
        quiet(browser, page)
