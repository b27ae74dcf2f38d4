"""Every page is made by one template engine that escapes everything; what may pass unescaped is known by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "src" / "tamis"
TEMPLATES = sorted(SOURCES.rglob("*.jinja"))
# the policy, the style and the script of a page are ours; its data are JSON without a single <, > or &
TRUSTED = {
    "_html.py": {"_policy(style, script)", "style", "script"},
    "_page.py": {"script_json(data)"},
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_no_template_switches_escaping_off(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|Markup|\|\s*tojson|{%-?\s*raw", text)


def test_only_known_text_passes_unescaped():
    found: dict[str, set[str]] = {}
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "Markup" in ast.unparse(node.func):
                found.setdefault(path.name, set()).add(ast.unparse(node.args[0]))
    assert found == TRUSTED


def test_every_environment_of_templates_escapes():
    calls = []
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Environment"):
                calls.append({keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords})
    assert calls
    assert all(call["autoescape"] == "True" for call in calls)
