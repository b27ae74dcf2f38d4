"""The charts as files: well-formed, undated, legible on both grounds, and without a way out of the page."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest

from tamis.report._svg import DARK, LIGHT, compact, draw_svg, render_chart


@pytest.fixture(scope="module")
def images(complete_page):
    addresses = [attributes["srcset"] for attributes in complete_page.all("source")]
    addresses += [attributes["src"] for attributes in complete_page.all("img")]
    prefix = "data:image/svg+xml;base64,"
    assert all(address.startswith(prefix) for address in addresses)
    return [base64.b64decode(address.removeprefix(prefix)).decode() for address in addresses]


def test_each_chart_has_four_well_formed_images(images, complete_page):
    assert len(images) == 4 * len(complete_page.all("figure")) == 20
    for image in images:
        assert ElementTree.fromstring(image).tag == "{http://www.w3.org/2000/svg}svg"


def test_images_have_no_date_no_script_and_no_outside_reference(images):
    for image in images:
        assert "dc:date" not in image
        assert "<script" not in image
        assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', image))
        assert re.findall(r"url\((?!#)", image) == []


def test_dark_images_hold_no_light_colour_and_light_ones_no_dark(images):
    dark = [image for image in images if DARK["ink"] in image]
    assert len(dark) == len(images) // 2
    for image in images:
        wrong = LIGHT if image in dark else DARK
        assert [role for role, colour in wrong.items() if colour in image] == []


def test_no_two_roles_share_a_colour():
    assert len(set(LIGHT.values()) | set(DARK.values())) == len(LIGHT) + len(DARK)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize(("role", "least"), [("ink", 7.0), ("muted", 4.5), ("dense", 3.0), ("sparse", 3.0)])
@pytest.mark.parametrize("ground", ["panel", "shade"])
def test_colours_stand_out_from_their_ground(palette, role, least, ground):
    """Contrast as WCAG 2.1 defines it: 4.5 for text (7 for its stricter level), 3 for marks in charts."""

    def luminance(colour: str) -> float:
        channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    bright, dim = sorted((luminance(palette[role]), luminance(palette[ground])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= least


def test_text_alternatives_say_what_the_charts_show(complete_page):
    texts = [attributes["alt"] for attributes in complete_page.all("img")]
    assert "dense from 0 to 4, sparse from 4 to 8" in texts[0]
    assert re.search(r"Held-out accuracy goes from \d+\.\d\u00a0% to \d+\.\d\u00a0%", texts[0])
    assert any("change in percent of the weights goes from 3 to 0.0469 (lowest" in text for text in texts)
    assert any(text.startswith("Memorisation probe over 40 measurements") for text in texts)
    assert any("dense phases 21.4\u00a0ms, sparse phases 9.0" in text for text in texts)


def test_charts_leave_the_users_matplotlib_settings_alone_and_ignore_them():
    import matplotlib

    def draw(figure, narrow):
        figure.subplots().plot([1, 2], [3, 4])

    before = dict(matplotlib.rcParams)
    plain = render_chart("key", "title", "alt", "", (1.0, 1.0), draw)
    with matplotlib.rc_context({"font.size": 31.0, "axes.facecolor": "red", "lines.linewidth": 9.0}):
        assert render_chart("key", "title", "alt", "", (1.0, 1.0), draw) == plain
        assert matplotlib.rcParams["font.size"] == 31.0
    assert dict(matplotlib.rcParams) == before


def test_a_compact_image_is_the_same_picture_in_fewer_characters():
    def draw(figure, narrow):
        axes = figure.subplots()
        axes.plot([0.123456, 1, 2], [3, 1.23456, 2], marker="o", label="a line of 0.12345")
        axes.set_title("gap  of <b> & 1.23456 url(#x)")
        axes.legend()

    raw = draw_svg("wide", 2.0, "key", draw)
    small = compact(raw)
    assert len(small) < 0.8 * len(raw)
    before, after = (list(ElementTree.fromstring(text).iter()) for text in (raw, small))
    assert [element.tag for element in before] == [element.tag for element in after]
    texts = [element.text for element in after if (element.text or "").strip()]
    assert texts == [element.text for element in before if (element.text or "").strip()]
    assert "gap  of <b> & 1.23456 url(#x)" in texts
    names = {element.get("id") for element in after}
    references = re.findall(r'href="#([^"]+)"', small) + re.findall(r'"url\(#([^)]+)\)', small)
    assert references
    assert set(references) <= names
    numbers = [
        [float(x) for key in ("x", "y", "d") for x in re.findall(r"-?\d+\.?\d*", element.get(key) or "")]
        for element in (*before, *after)
    ]
    middle = len(before)
    for one, other in zip(numbers[:middle], numbers[middle:], strict=True):
        assert other == pytest.approx(one, abs=0.00501)
