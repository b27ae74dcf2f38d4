"""Flags from frozen dataclasses."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import tyro

Options = TypeVar("Options")


def parse(kind: type[Options], arguments: Sequence[str], usage: str, default: Options | None = None) -> Options:
    """Parse flags into a dataclass; its docstrings are the help texts.

    Args:
        kind: the dataclass; nested dataclasses become prefixes (``--train.epochs``).
        arguments: what follows the command on the command line.
        usage: shown as the program's name, such as ``tamis train RECIPE``.
        default: values of the flags that are not given; None takes the dataclass's own.

    Raises:
        SystemExit: with code 0 after ``--help``, 2 after a bad flag, whose explanation went to stderr.
    """
    extra: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(kind, prog=usage, args=list(arguments), **extra)


def value_of(flag: str, arguments: Sequence[str]) -> str:
    """What the last ``flag`` among the arguments is set to, before they are parsed; empty where it is not given."""
    found = ""
    for given, following in itertools.pairwise([*arguments, ""]):
        name, _, value = given.partition("=")
        if name == flag:
            found = value or following
    return found


def with_json_target(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--json`` made ``--json=-``, which means standard output, where no file follows it."""
    given = list(arguments)
    for place, word in enumerate(given):
        if word == "--json" and (place + 1 == len(given) or given[place + 1].startswith("--")):
            given[place] = "--json=-"
    return given


def show(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print a command's result on stdout: ``text`` for people, or ``result`` as one JSON object for machines."""
    print(json.dumps(result, indent=2) if as_json else text)
