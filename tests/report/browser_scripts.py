"""Scripts that tests run in a page, and what it means that a page was quiet."""

from __future__ import annotations

CHOOSE = (
    "const control = document.querySelector(arguments[0]); control.value = arguments[1];"
    "control.dispatchEvent(new Event('change'));"
)
SHOWN = "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"
LAST = "[...document.querySelectorAll('table.heat')].at(-1)"


def quiet(browser, path):
    """Nothing was logged, refused, broken or asked for beyond the file itself."""
    assert browser.console() == []
    assert browser.refused() == []
    assert browser.failures() == []
    assert browser.requested() == [path.resolve().as_uri()]
