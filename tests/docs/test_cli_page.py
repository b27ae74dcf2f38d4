"""The command line's page has every command, every key of a recipe with its default, every method and recipe."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tamis.cli import _main
from tamis.train import OPTIONS, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (?:`(\w+)`|top) \| (.*) \|$", PAGE, re.MULTILINE))
TABLES = {
    field.name: getattr(Recipe(), field.name)
    for field in dataclasses.fields(Recipe)
    if dataclasses.is_dataclass(getattr(Recipe(), field.name)) and field.name != "options"
}


@pytest.mark.parametrize("table", ["", *TABLES])
def test_every_key_of_a_recipe_is_shown_with_its_default(table):
    value: Any = TABLES[table] if table else Recipe()
    shown = {cell.partition(" = ")[0]: cell.partition(" = ")[2] for cell in re.findall(r"`([^`]+)`", ROWS[table])}
    for field in dataclasses.fields(value):
        if not table and (field.name in TABLES or field.name == "options"):
            assert field.name in ROWS, f"docs/cli.md has no row for [{field.name}]"
            continue
        assert field.name in shown, f"docs/cli.md does not show {table}.{field.name}"
        if shown[field.name]:
            default = getattr(value, field.name)
            written = tomllib.loads(f"key = {shown[field.name]}")["key"]
            assert written == (list(default) if isinstance(default, tuple) else default), f"{table}.{field.name}"


def test_every_method_recipe_and_command_is_named():
    recipes = [file.stem for file in (ROOT / "recipes").glob("*.toml")]
    missing = [name for name in [*OPTIONS, *recipes] if f"`{name}`" not in PAGE]
    missing += [name for name in _main.COMMANDS if f"tamis {name}" not in PAGE]
    assert not missing
