"""Range checks of recipe values; each raises one :class:`tamis.errors.UsageError` that names key, value and range."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from tamis.errors import UsageError


def at_least(key: str, value: float, low: float) -> None:
    """Refuse ``value < low``, infinities and NaN."""
    if not math.isfinite(value) or value < low:
        raise UsageError(f"{key} = {value}: expected a number of at least {low}")


def positive(key: str, value: float) -> None:
    """Refuse zero, negative numbers, infinities and NaN."""
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"{key} = {value}: expected a number above 0")


def within(key: str, value: float, low: float, high: float) -> None:
    """Refuse anything outside [low, high]."""
    if not low <= value <= high:
        raise UsageError(f"{key} = {value}: expected a number between {low} and {high}")


def fraction_of_zeros(key: str, value: float) -> None:
    """Refuse a sparsity outside [0, 1); a percentage gets a hint."""
    if not 0 <= value < 1:
        hint = f"; did you mean {value / 100:g}?" if 5 <= value < 100 else ""
        raise UsageError(f"{key} = {value}: expected a fraction of zeros with 0 <= {key} < 1{hint}")


def folder_name(key: str, value: str) -> None:
    """Refuse a name that could not be a folder: only letters, digits, ``.``, ``_``, ``+``, ``-``; no dot in front."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}", value):
        raise UsageError(f"{key} = {value!r}: expected letters, digits, '.', '_', '+' or '-', such as digits_acdc")


def increasing(key: str, values: Sequence[int]) -> None:
    """Refuse epochs that are negative or do not increase."""
    if any(v < 0 for v in values) or any(b <= a for a, b in itertools.pairwise(values)):
        raise UsageError(f"{key} = {list(values)}: expected increasing epochs, such as [75, 115, 155]")


def one_of_the_kinds(table: str, value: Any, keys: Mapping[str, tuple[str, ...]], *, required: bool = False) -> None:
    """Refuse options that belong to another kind of the same table and, if ``required``, missing ones."""
    allowed = keys[value.kind]
    for name in (f.name for f in fields(value) if f.name != "kind"):
        given = getattr(value, name) is not None
        if given and name not in allowed:
            owners = " or ".join(f'"{kind}"' for kind, own in keys.items() if name in own)
            raise UsageError(f'{table}.{name} belongs to kind = {owners}, but {table}.kind = "{value.kind}"')
        if required and not given and name in allowed:
            raise UsageError(f'{table}.kind = "{value.kind}" needs {table}.{name}')
