"""Recipes as TOML files, both ways: strict reading with helpful errors, and writing what can be read again."""

from __future__ import annotations

import difflib
import json
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from tamis.documents import is_file, read_text, toml_table
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic
from tamis.train._options import MethodOptions
from tamis.train._options_registry import OPTIONS
from tamis.train._recipe import Recipe
from tamis.train._recipe_method import Distribution, Pattern

Kind = TypeVar("Kind")


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe file, or one of the recipes that come with tamis by its bare name (``digits_acdc``).

    Raises :class:`tamis.errors.FileError` for a missing file or broken TOML and :class:`tamis.errors.UsageError` for
    an unknown key (with close matches), a wrong type or a value out of range; each message names the file and the key.
    """
    file = find_recipe(path)
    return parse_table(Recipe, read_toml(file), str(file))


def find_recipe(path: str | os.PathLike[str], kind: str = "recipe", folder: str = "") -> Path:
    """The file itself, or ``NAME.toml`` among the recipes that come with tamis; FileError lists them if neither is.

    Args:
        path: a file, or the bare name of one that comes with tamis.
        kind: what such a file is called in messages.
        folder: sub-folder of the recipes that come with tamis.
    """
    file = Path(path)
    if is_file(file):
        return file
    homes = [Path(__file__).parents[1] / "recipes" / folder, Path(__file__).parents[3] / "recipes" / folder]
    known = {found.stem: found for home in reversed(homes) for found in sorted(home.glob("*.toml"))}
    if file.parent == Path() and file.name.removesuffix(".toml") in known:
        return known[file.name.removesuffix(".toml")]
    raise FileError(f"{file}: no such {kind}; give the path of a .toml file or one of: {', '.join(sorted(known))}")


def parse_recipe(text: str, where: str = "recipe") -> Recipe:
    """A recipe from TOML text; ``where`` is named in errors.  Raises FileError, UsageError (see load_recipe)."""
    return parse_table(Recipe, parse_toml(text, where), where)


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a TOML file, not checked further; FileError for a missing file or broken TOML."""
    return toml_table(read_text(file, "a TOML text file"), str(file))


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of TOML text, not checked further; FileError for broken TOML."""
    return toml_table(text, where)


def parse_table(kind: type[Kind], table: Mapping[str, Any], where: str) -> Kind:
    """A frozen dataclass from a table with the names of its fields.

    Raises UsageError for an unknown key (with close matches), a wrong type or a value out of range; it begins with
    ``where`` and names the key.
    """
    try:
        return _section(kind, table, "")
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def dump_recipe(recipe: Any) -> str:
    """TOML text with every key that has a value; ``parse_recipe(dump_recipe(r)) == r`` for every recipe.

    Other frozen dataclasses of plain values and tables are written alike; :func:`parse_table` reads them.
    """
    return "\n".join(_lines(recipe, "")) + "\n"


def save_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> Path:
    """Write ``dump_recipe`` atomically; the file is itself a valid recipe."""
    return write_atomic(path, dump_recipe(recipe))


def _section(kind: Any, table: Mapping[str, Any], prefix: str) -> Any:
    known = {f.name for f in fields(kind)}
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, sorted(known), n=3) or sorted(known)
            raise UsageError(f"unknown key {prefix + key!r}; did you mean {', '.join(prefix + c for c in close)}?")
    for item in fields(kind):
        if item.name not in table and item.default is MISSING and item.default_factory is MISSING:
            raise UsageError(f"expected the key {prefix + item.name!r}, which is not there")
    hints = typing.get_type_hints(kind)
    if kind is Recipe:  # an unknown method is refused with the other values
        hints["options"] = OPTIONS.get(str(table.get("method", "dense")), MethodOptions)
    return kind(**{key: _value(hints[key], value, prefix + key) for key, value in table.items()})


def _value(kind: Any, value: Any, key: str) -> Any:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        if kind in (Distribution, Pattern) and isinstance(value, str):
            value = {"kind": value}  # the short form: distribution = "erk"
        if isinstance(value, Mapping):
            return _section(kind, value, f"{key}.")
    elif origin in (typing.Union, types.UnionType):
        plain = [option for option in options if option is not types.NoneType]
        for option in plain:
            listed = typing.get_origin(option) is tuple and isinstance(value, list)
            if len(plain) == 1 or listed or (isinstance(option, type) and type(value) is option):
                return _value(option, value, key)
    elif origin is typing.Literal:
        if value in options:
            return value
        close = difflib.get_close_matches(str(value), [str(o) for o in options], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"{key} = {value!r}: expected one of {', '.join(repr(o) for o in options)}{hint}")
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_value(options[0], item, f"{key}[{at}]") for at, item in enumerate(value))
    elif origin is not None and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return {name: _value(options[1], item, f"{key}.{name}") for name, item in value.items()}
    elif kind is float and type(value) in (int, float):
        return float(value)
    elif type(value) is kind:
        return value
    raise UsageError(f"{key} = {value!r}: expected {_spell(kind)}")


def _spell(kind: Any) -> str:
    if is_dataclass(kind):
        return "a table"
    options = [_spell(option) for option in typing.get_args(kind) if option not in (types.NoneType, Ellipsis)]
    origin = typing.get_origin(kind)
    if origin is tuple:
        return f"a list, each item {options[0]}"
    if origin is not None and origin not in (typing.Union, types.UnionType):
        return f"a table of {options[-1]}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text in quotes"}
    return " or ".join(options) if options else names.get(kind, str(kind))


def _lines(section: Any, prefix: str) -> list[str]:
    """Plain keys first, then the sub-tables, because a TOML key belongs to the table above it."""
    lines: list[str] = []
    tables: list[str] = []
    for item in fields(section):
        value = getattr(section, item.name)
        if is_dataclass(value):
            tables += ["", f"[{prefix}{item.name}]", *_lines(value, f"{prefix}{item.name}.")]
        elif isinstance(value, Mapping):
            tables += ["", f"[{prefix}{item.name}]", *(f"{_text(k)} = {_spelled(v)}" for k, v in value.items())]
        elif value is not None:
            lines.append(f"{item.name} = {_spelled(value)}")
    return lines + tables


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_spelled(item) for item in value)}]"
    return repr(value)


def _text(value: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
