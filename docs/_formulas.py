"""Formulas as MathML, made when the site is built: browsers show them without scripts and without the network.

Where the network is there, MathJax sets them more finely, which matters on systems without a mathematical font.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

FINER = "https://cdn.jsdelivr.net/npm/mathjax@3/es5/mml-chtml.js"
FONTS = "font-family: Cambria Math, STIX Two Math, Latin Modern Math, DejaVu Math TeX Gyre, math; overflow: visible"


def formula(tex: str, display: str) -> str:
    """A ``math`` element; ``display`` is ``inline`` or ``block``."""
    return convert(tex, display=display).replace("<math ", f'<math style="{FONTS}" ', 1)


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(formula(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f"<div>{formula(node.astext(), 'block')}</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.add_js_file(FINER, loading_method="async")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
