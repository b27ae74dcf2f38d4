"""Pages in a real browser: nothing asked for, refused or broken; readable, operable, printable.

Skipped with a message where there is no Chromium (Debian packages chromium and chromium-driver) or no selenium.
"""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest
from audit_content import simulated
from test_audit_hostile import hostile_content

from tamis.report.audit import read_images, write_audit_report

WINDOWS = ((1280, 900), (390, 844))
CHOOSE = (
    "const control = document.querySelector(arguments[0]); control.value = arguments[1];"
    "control.dispatchEvent(new Event('change'));"
)
SHOWN = "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"
LAST = "[...document.querySelectorAll('table.heat')].at(-1)"


@pytest.fixture(scope="session")
def hostile_file(tmp_path_factory):
    return write_audit_report(hostile_content(), tmp_path_factory.mktemp("hostile") / "audit.html")


@pytest.fixture(scope="session")
def example_file(tmp_path_factory):
    content = json.loads(
        (Path(__file__).resolve().parents[2] / "docs" / "audit_example.json").read_text(encoding="utf-8")
    )
    return write_audit_report(content, tmp_path_factory.mktemp("example") / "audit.html")


@pytest.fixture(scope="session")
def run_file(complete_run, complete_html):
    return complete_run / "report.html"


@pytest.fixture(params=["example_file", "hostile_file", "run_file"], scope="session")
def page_file(request):
    return request.getfixturevalue(request.param)


def quiet(browser, path):
    """Nothing was logged, refused, broken or asked for beyond the file itself."""
    assert browser.console() == []
    assert browser.refused() == []
    assert browser.failures() == []
    assert browser.requested() == [path.resolve().as_uri()]


@pytest.mark.parametrize(("width", "height"), WINDOWS)
def test_a_page_loads_silently_fits_the_window_and_can_be_read(browser, page_file, width, height):
    browser.open(page_file, width, height)
    browser.run("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.sticking_out() == []
    assert browser.low_contrast() == []
    browser.colours(dark=True)
    assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches")
    assert browser.low_contrast() == []
    assert browser.broken_pictures() == 0
    quiet(browser, page_file)


def test_the_checks_themselves_notice_faults(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<style>p{color:#999}div{width:2000px}</style><p>pale</p><div>wide</div><img src='https://example.invalid/x.png'>"
        "<script>document.title = 1</script>"
    )
    browser.open(bad, 390, 800)
    assert [line for line in browser.low_contrast() if "pale" in line]
    assert browser.sticking_out()
    assert len(browser.refused()) == 2
    assert browser.console()


def test_a_page_prints_to_pdf_and_nothing_is_cut_off(browser, page_file):
    browser.open(page_file)
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/") >= 2
    browser.open(page_file, 717)  # A4 without its margins
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert browser.run("return document.documentElement.scrollWidth") <= 717
    assert browser.low_contrast() == []


def test_without_scripts_the_audit_is_complete(browser, audit_file):
    browser.open(audit_file, scripts=False)
    shown = f"{SHOWN}.length"
    assert browser.run(shown, "table.heat") == 5
    assert browser.run(shown, ".controls, .pages, .hint, #pair") == 0
    assert browser.run(shown, "#gallery-still tbody tr") == 12
    assert browser.run("return document.querySelectorAll('table.heat button').length") == 0


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


def test_hostile_names_run_nothing_wherever_they_are_opened(browser, hostile_file):
    browser.open(hostile_file)
    browser.run("window.alert = () => window.__failures.push('alert')")
    browser.run("for (const button of document.querySelectorAll('table.heat button')) button.click()")
    browser.run(
        "for (const select of document.querySelectorAll('select')) for (const option of select.options) {"
        "  select.value = option.value; select.dispatchEvent(new Event('change')); }"
    )
    assert browser.run("return document.scripts.length") == 2
    assert (
        browser.run(
            "const bad = (a) => a.name.startsWith('on') || a.name === 'style';"
            "return [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some(bad)).length"
        )
        == 0
    )
    text = browser.run("return document.body.textContent")
    assert "{{7*7}}" in text
    assert "\u202e" not in text
    quiet(browser, hostile_file)


@pytest.mark.usefixtures("quick_charts")
def test_a_large_audit_opens_and_answers_quickly_enough(browser, tmp_path):
    names = tuple(f"Attribute number {index}" for index in range(40))
    page = write_audit_report(simulated(names, ("A", "B", "C", "D"), (0.9, 0.98), 1_000, 1), tmp_path / "audit.html")
    browser.open(page, 390, 844)
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    browser.run(f"{LAST}.querySelector('button').click()")
    assert browser.run("return document.querySelectorAll('#pair .plots svg').length") == 4
    quiet(browser, page)
