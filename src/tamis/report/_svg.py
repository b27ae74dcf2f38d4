"""One chart as four SVG images: wide and narrow, light and dark; deterministic, and quiet about unusual characters.

The figure is drawn once per width in the light palette.  The dark image is the same file with every colour exchanged,
which is exact because no two roles share a colour.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LIGHT = {
    "ink": "#1d2733",
    "muted": "#5c6875",
    "grid": "#e4e1d8",
    "panel": "#fffefb",
    "dense": "#2f62b5",
    "sparse": "#bf5012",
    "shade": "#fbeadb",
}
DARK = {
    "ink": "#e6e9ed",
    "muted": "#9ba7b4",
    "grid": "#313a45",
    "panel": "#1a2028",
    "dense": "#7faaf0",
    "sparse": "#f0955a",
    "shade": "#33271f",
}
WIDTHS = {"wide": 10.0, "narrow": 3.6}  # inches of 72 points; a point is 4/3 px on the page
FONT_POINTS = {"wide": 9.4, "narrow": 8.6}
_COLOUR = re.compile(r"#[0-9a-f]{6}(?![0-9a-f])")
_TAG = re.compile(r"<[^>]+>")
_BETWEEN = re.compile(r">\s+<")
_SPACE = re.compile(r"\s+")
_LONG = re.compile(r"-?\d+\.\d{3,}")
_NAME = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]+)')
_FONT = re.compile(r"(font: [^;\"]*?px )[^;\"]*")


@dataclass(frozen=True)
class Chart:
    """A drawn chart: its identifier, title and text alternative, and four ``data:`` addresses of SVG images."""

    key: str
    title: str
    alt: str
    caption: str
    wide_light: str
    wide_dark: str
    narrow_light: str
    narrow_dark: str


def render_chart(
    key: str, title: str, alt: str, caption: str, heights: tuple[float, float], draw: Callable[[Any, bool], None]
) -> Chart:
    """The chart that ``draw(figure, narrow)`` puts on a matplotlib figure; ``heights`` in inches, wide and narrow.

    The extra dependency matplotlib must be installed (checked by ``write_report``); its global settings are left alone.
    """
    images: dict[str, str] = {}
    for width, height in zip(WIDTHS, heights, strict=True):
        light = draw_svg(width, height, key, draw)
        images[f"{width}_light"] = _address(light)
        images[f"{width}_dark"] = _address(_recolour(light))
    return Chart(key, title, alt, caption, **images)


def draw_svg(width: str, height: float, key: str, draw: Callable[[Any, bool], None], ground: str = "none") -> str:
    """The SVG text of one figure in the light palette; equal input gives equal text.

    Args:
        width: ``wide`` or ``narrow``.
        height: in inches.
        key: identifies the chart; salt of the identifiers in the file.
        draw: called as ``draw(figure, narrow)``.
        ground: colour behind the axes, for a file that is shown outside the page.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    size = FONT_POINTS[width]
    settings = {
        "svg.hashsalt": f"tamis-{key}-{width}",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": size - 0.6,
        "ytick.labelsize": size - 0.6,
        "legend.fontsize": size,
        "legend.frameon": False,
        "legend.handlelength": 1.4,
        "text.color": LIGHT["ink"],
        "axes.labelcolor": LIGHT["muted"],
        "axes.edgecolor": LIGHT["muted"],
        "axes.facecolor": LIGHT["panel"],
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "axes.titlepad": 7,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": LIGHT["grid"],
        "grid.linewidth": 0.8,
        "xtick.color": LIGHT["muted"],
        "ytick.color": LIGHT["muted"],
        "ytick.major.size": 0,
        "lines.solid_capstyle": "round",
    }
    with style.context(settings, after_reset=True):
        figure = Figure(figsize=(WIDTHS[width], height), layout="constrained", facecolor=ground)
        draw(figure, width == "narrow")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue().decode("utf-8")
    # The reader's own interface font instead of the one that matplotlib measured with, which is among the widest.
    return _FONT.sub(r"\1system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif", text)


def _recolour(svg: str) -> str:
    exchange = {LIGHT[role]: DARK[role] for role in LIGHT}
    return _COLOUR.sub(lambda match: exchange.get(match.group(), match.group()), svg)


def compact(svg: str) -> str:
    """The same picture in fewer characters: what tags hold is rounded to a hundredth of a point, or to four decimals
    below 1; names of elements that nothing refers to go, the others become short, and so does white space.

    >>> compact('<g id="axes_1">\\n <use xlink:href="#m0a1b" x="12.34567" y="0.123456"/>\\n</g><path id="m0a1b"/>')
    '<g><use xlink:href="#r0" x="12.35" y="0.1235"/></g><path id="r0"/>'
    >>> compact('<text x="1.00000">0.12300  a</text>')
    '<text x="1">0.12300  a</text>'
    """
    used = dict.fromkeys(match[2] for match in _REFERENCE.finditer(svg))
    short = {name: f"r{number}" for number, name in enumerate(used)}

    def tag(match: re.Match[str]) -> str:
        text = _SPACE.sub(" ", _LONG.sub(_rounded, match[0]))
        text = _NAME.sub(lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", text)
        return _REFERENCE.sub(lambda found: found[1] + short[found[2]], text)

    return _BETWEEN.sub("><", _TAG.sub(tag, svg))


def _rounded(match: re.Match[str]) -> str:
    value = float(match[0])
    text = f"{value:.{2 if abs(value) >= 1 else 4}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _address(svg: str) -> str:
    svg = compact(svg)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")
