"""Identities of rows and columns: what may name a sample or an attribute, and how names are matched and shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tamis.errors import UsageError

LONGEST = 10_240  # characters of a name or id; longer ones are damage

# C0 and C1 controls, line separators, and the marks that reorder text (CVE-2021-42574)
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


def check_names(names: Sequence[Any], count: int) -> tuple[str, ...]:
    """``count`` different names as text; UsageError otherwise."""
    found = tuple(str(name) for name in names)
    if len(found) != count:
        raise UsageError(f"found {len(found)} names for {count} columns; expected one name for each column")
    for place, name in enumerate(found):
        if not name or len(name) > LONGEST:
            raise UsageError(f"name {place} has {len(name)} characters; expected 1 to {LONGEST}")
    if len(set(found)) != count:
        twice = next(name for name in found if found.count(name) > 1)
        raise UsageError(f"the name {display(twice)!r} stands for more than one column; expected different names")
    return found


def check_ids(ids: Any, count: int) -> np.ndarray:
    """``count`` different ids as int64 or text, shape (count,); UsageError otherwise."""
    found = np.asarray(ids)
    if found.shape != (count,):
        raise UsageError(f"ids have shape {found.shape}; expected one id for each of {count} rows")
    if found.dtype.kind in "iu":
        found = found.astype(np.int64)
    elif found.dtype.kind == "U":
        if found.dtype.itemsize > 4 * LONGEST:
            raise UsageError(f"an id has more than {LONGEST} characters; expected short texts or whole numbers")
    else:
        raise UsageError(f"ids have dtype {found.dtype}; expected text or whole numbers")
    order = np.sort(found)
    same = np.flatnonzero(order[1:] == order[:-1])
    if len(same):
        raise UsageError(f"the id {display(str(order[same[0]]))!r} stands on more than one row; expected different ids")
    return found


def rows_of(ids: np.ndarray, wanted: np.ndarray, what: str) -> np.ndarray:
    """Where each of the ids ``wanted`` stands among ``ids``: row numbers, shape of ``wanted``.

    Both must hold the same ids, in any order: rows are matched by id and never by position.

    Raises:
        UsageError: an id of either is missing from the other; the message names ``what`` and the id.
    """
    if ids.dtype.kind != wanted.dtype.kind:
        kinds = {"U": "text", "i": "whole numbers"}
        raise UsageError(f"{what}: ids are {kinds[ids.dtype.kind]}, those of the labels {kinds[wanted.dtype.kind]}")
    if ids.shape == wanted.shape and bool((ids == wanted).all()):
        return np.arange(len(ids))
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    rows = order[place]
    strange = np.flatnonzero(ids[rows] != wanted)
    if len(strange):
        raise UsageError(
            f"{what}: {len(strange)} of {len(wanted)} labelled samples are missing, such as id "
            f"{display(str(wanted[strange[0]]))!r}; expected the same ids everywhere"
        )
    if len(ids) != len(wanted):
        extra = ids[~np.isin(ids, wanted)]
        raise UsageError(
            f"{what}: {len(extra)} of {len(ids)} samples have no labels, such as id {display(str(extra[0]))!r}; "
            "expected the same ids everywhere"
        )
    return rows


def display(name: str, longest: int = 80) -> str:
    """A name without control characters and marks that reorder text, cut to ``longest`` characters, for people.

    >>> display("Male\\u202e\\n")
    'Male'
    """
    clean = _INVISIBLE.sub("", name)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
