"""Pictures of the explanations are those that their script draws now."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURES = runpy.run_path(str(DOCS / "make_pictures.py"))["PICTURES"]
NUMBER = re.compile(r"-?\d+\.?\d*")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_its_script_draws(name):
    drawn, committed = PICTURES[name](), (DOCS / "_static" / name).read_text(encoding="utf-8")
    # another instruction set may round the last digit of a coordinate otherwise
    assert NUMBER.sub("#", drawn) == NUMBER.sub("#", committed), f"run python docs/make_pictures.py to renew {name}"
    pairs = zip(NUMBER.findall(drawn), NUMBER.findall(committed), strict=True)
    assert all(abs(float(ours) - float(theirs)) <= 0.15 for ours, theirs in pairs)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_has_a_title_and_is_shown_with_a_description(name):
    content = (DOCS / "_static" / name).read_text(encoding="utf-8")
    root = ElementTree.fromstring(content)
    assert root.tag.endswith("svg")
    assert root.find("{http://www.w3.org/2000/svg}title").text
    assert len(content) < 20_000
    pages = " ".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert re.search(rf"!\[[^\]]{{20,}}\]\(_static/{re.escape(name)}\)", pages), f"no page shows {name}"
