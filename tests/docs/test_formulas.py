"""Every formula of the pages becomes MathML."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+(?:\n[^$\n]+)?)\$", re.DOTALL)


def test_no_command_of_latex_is_left_over():
    pytest.importorskip("latex2mathml", reason="formulas need latex2mathml: pip install tamis[docs]")
    pytest.importorskip("docutils", reason="formulas need docutils: pip install tamis[docs]")
    sys.path.insert(0, str(DOCS))
    from _formulas import formula

    formulas = [
        (page.name, block or inline)
        for page in sorted(DOCS.glob("*.md"))
        for block, inline in FORMULA.findall(CODE.sub("", page.read_text(encoding="utf-8")))
    ]
    assert len(formulas) > 100
    for page, tex in formulas:
        made = formula(tex, "block")
        assert made.startswith("<math ")
        assert not re.search(r"\\[a-zA-Z]+", made), f"{page}: {tex}"
