"""All pages in a real browser: nothing asked for, refused or broken; readable, operable, printable.

Skipped with a message where there is no Chromium (Debian packages chromium and chromium-driver) or no selenium.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audit_content import simulated
from browser_scripts import LAST, SHOWN, quiet

from tamis.report.audit import write_audit_report

WINDOWS = ((1280, 900), (390, 844))


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
