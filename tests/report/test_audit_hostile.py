"""Names, ids and texts that try to break out of the page; the browser's side is in test_pages_in_browser.py."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest
from audit_content import simulated
from html_check import Page
from hypothesis import given, settings
from hypothesis import strategies as st
from test_audit_page import data_of

from tamis.report.audit import render_audit_report
from tamis.report.audit._text import display, display_names, script_json

NAMES = (
    "</script><img src=x onerror=alert(1)>",
    "\" onmouseover=alert(1) x='",
    "{{7*7}}{% raw %}",
    "Male\u202e",
    "Male",
    "x" * 10_240,
    "lone \ud800 surrogate\uffff",
    "<!--<script>",
    "=cmd|' /C calc'!A0",
    "__proto__",
    "javascript:alert(1)//&lt;\u2028",
)
IDENTITIES = ("</title><svg onload=alert(2)>", "constructor")


def hostile_content():
    content = simulated(NAMES, IDENTITIES, (0.9, 0.98), 300, 1)
    bad = NAMES[0]
    content["conditions"][1]["model"] = content["conditions"][1]["method"] = bad
    content["verdict"]["words"] = bad
    content["provenance"]["command"] = f"{bad} {NAMES[1]}"
    content["provenance"]["notes"] = list(NAMES)
    content["provenance"]["models"][0]["meta"] = {bad: {bad: bad}}
    for code in content["reasons"]:
        content["reasons"][code] += bad
    for part in content["exemplars"]:
        for place, row in enumerate(part["rows"]):
            row["id"] = f"{('=', '+', '-', '@', chr(9))[place % 5]}{NAMES[place % len(NAMES)]}{place}"
    content["policy"]["rows"][0] |= {"name": bad, "words": NAMES[1]}
    return content


@pytest.fixture(scope="module")
def html():
    return render_audit_report(hostile_content())


def test_hostile_names_are_shown_and_stay_text(html):
    page = Page(html)
    assert page.problems == []
    assert len(page.all("script")) == 2
    assert all("onload" not in a for a in page.all("svg"))
    assert [a["src"][:26] for a in page.all("img")] == ["data:image/svg+xml;base64,"] * len(page.all("img"))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
    for name in (
        "</script><img src=x onerror=alert(1)>",
        "\" onmouseover=alert(1) x='",
        "{{7*7}}{% raw %}",
        "<!--<script>",
    ):
        assert name in page.text
    assert "49" not in [a.get("data-words") for a in page.all("td")]
    assert page.text.count("</title><svg onload=alert(2)>") >= 4


def test_what_reorders_or_hides_text_is_gone_and_twins_can_be_told_apart(html):
    page = Page(html)
    assert not re.search(
        "[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", page.text
    )
    assert "Male (2)" in page.text
    assert "lone \ufffd surrogate\ufffd" in page.text
    assert "x" * 79 + "…" in page.text
    assert "x" * 1_200 not in page.text  # a note is a text and may be longer than a name, but not endless


def test_the_data_cannot_end_its_element_and_keeps_ids_as_they_came(html):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    assert text.isascii()
    assert not set("<>&") & set(text)
    wanted = [row["id"] for row in hostile_content()["exemplars"][1]["rows"]]
    assert [item["id"] for item in data_of(html)["exemplars"][1]["items"]] == wanted
    html.encode("utf-8")  # a lone surrogate would refuse


def test_charts_with_hostile_names_are_well_formed_and_hold_no_script(html):
    images = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", html)
    assert len(images) > 16
    for image in images:
        root = ElementTree.fromstring(base64.b64decode(image))
        assert not [element for element in root.iter() if element.tag.endswith(("}script", "}foreignObject", "}image"))]


@given(st.text(st.characters(exclude_categories=[])))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_shown_and_stays_short(text):
    shown = display(text)
    assert 1 <= len(shown) <= 80
    shown.encode("utf-8")
    assert not re.search("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\x00-\x1f\x7f-\x9f]", shown)
    assert display(shown) == shown or shown.endswith("…")


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=6), unique=True, max_size=12))
@settings(max_examples=200, deadline=None)
def test_different_names_are_shown_differently(names):
    shown = display_names(names)
    assert list(shown) == names
    assert len(set(shown.values())) == len(names)


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=[])), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@settings(max_examples=100, deadline=None)
def test_any_text_survives_the_way_through_the_json_element(value):
    import json

    text = script_json(value)
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == value
