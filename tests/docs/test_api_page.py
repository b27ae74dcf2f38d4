"""The API page names everything that is public, and what it shows says what goes in and what goes wrong."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tamis
from tamis.errors import UsageError

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
# packages whose names are meant for the other rooms, not for users: docs/architecture.md names them
INSIDE = {
    "tamis.cli",
    "tamis.lazy",
    "tamis.documents",
    "tamis.student_t",
    "tamis.kernels.functional",
    "tamis.kernels.reference",
}
# shown by hand with the room above it
BY_HAND = {"tamis.kernels.choose": "tamis.kernels.choose.Choices"}
ARRAY = re.compile(r"(torch\.)?Tensor|np\.ndarray|NDArray\[.*\]")
SHAPE = re.compile(
    r"\bshapes?\b|\bscalar|\bvector|\bmatrix|\bbatch\b|\((\.\.\., |[A-Za-z]\w*( / \w)?,)|\blike\b|\bof any size\b"
)


def rooms() -> list[str]:
    """Public packages and modules: no part of the name begins with an underscore."""
    found = [m.name for m in pkgutil.walk_packages(tamis.__path__, "tamis.")]
    public = [name for name in found if not any(part.startswith("_") for part in name.split("."))]
    return [name for name in public if not any(name == room or name.startswith(f"{room}.") for room in INSIDE)]


def names_of(module: ModuleType) -> list[str]:
    """Its ``__all__``, or what it defines."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__ and n[0] != "_"]
    return list(getattr(module, "__all__", own))


def callables() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Public functions and methods: full name, the function, and all that is written about it.

    What a class or a method of the same name in a base says holds for a method too.
    """
    for room in rooms():
        module = importlib.import_module(room)
        for name in names_of(module):
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                yield f"{room}.{name}", thing, inspect.getdoc(thing) or ""
            elif inspect.isclass(thing):
                for key, value in vars(thing).items():
                    if inspect.isfunction(value) and not key.startswith("_"):
                        bases = [vars(base)[key] for base in thing.__mro__ if key in vars(base)]
                        about = [inspect.getdoc(thing) or "", *(inspect.getdoc(base) or "" for base in bases)]
                        yield f"{room}.{name}.{key}", value, "\n".join(about)


@functools.cache
def raised(function: Callable[..., Any]) -> frozenset[str]:
    """Names of our own errors that the function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [n.exc.func for n in ast.walk(tree) if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)]
    return frozenset({ast.unparse(call) for call in calls} & {"UsageError", "FileError", "CollapseError"})


CALLABLES = {name: (function, about) for name, function, about in callables()}


@pytest.mark.parametrize("room", rooms())
def test_a_room_is_on_the_page_and_so_are_its_constants(room):
    shown = BY_HAND.get(room, room)
    assert re.search(rf":: {re.escape(shown)}\n", PAGE), f"docs/api.md does not show {shown}"
    module = importlib.import_module(room)
    for name in names_of(module):
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)) and room not in BY_HAND:
            assert f"`{name}`" in PAGE, f"docs/api.md says nothing about the constant {room}.{name}"


def test_every_name_of_the_package_itself_is_on_the_page():
    head = PAGE.partition("## tamis.methods")[0]
    missing = [name for name in tamis.__all__ if name != "__version__" and not re.search(rf"`(tamis\.)?{name}`", head)]
    assert not missing


def test_every_public_function_says_what_it_takes_and_raises():
    wrong = []
    for name, (function, about) in CALLABLES.items():
        undocumented = {error for error in raised(function) if error not in about}
        parameters = inspect.signature(function).parameters.values()
        arrays = [p.name for p in parameters if ARRAY.fullmatch(str(p.annotation))]
        if not about.strip():
            wrong.append(f"{name} has no docstring")
        if undocumented:
            wrong.append(f"{name} raises {undocumented}, which its docstring does not say")
        if arrays and not SHAPE.search(about):
            wrong.append(f"{name}: no shape is given for {arrays}")
    assert not wrong, "\n".join(wrong)


def test_the_rules_of_this_file_can_fail():
    def bad(values: Any) -> None:
        """Nothing is said."""
        raise UsageError(values)

    assert raised(bad) == {"UsageError"}
    assert not SHAPE.search("Nothing is said.")
    assert SHAPE.search("images: float32 (N, C, H, W)")
    assert len(CALLABLES) > 300
