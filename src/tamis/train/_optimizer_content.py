"""The state of an optimizer as named tensors plus plain JSON, and back.

A state tensor of a parameter has the name ``<parameter>:<key>``.  What JSON has no form for (a learning rate that is a
tensor, a pair of betas, the list of tensors that L-BFGS keeps) has its tensors under ``state/...``, ``groups/...`` or
``more/...`` and a picture in the JSON from which it is rebuilt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._tree import flatten, unflatten

_NESTED = ("state/", "groups/", "more/")


def split_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The ``state_dict`` of an optimizer as tensors by name, and JSON.

    Raises:
        UsageError: it keeps state that belongs to no parameter.
        FileError: it holds something that cannot be stored.
    """
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        if not isinstance(index, int) or not isinstance(entries, Mapping):
            raise UsageError(
                f"the optimizer keeps state {index!r} that belongs to no parameter; expected a dict for each of them. "
                "Save the model without the optimizer, or keep that state elsewhere"
            )
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}:{key}"] = value
            else:
                scalars.setdefault(str(index), {})[key] = _stored(value, f"state/{index}/{key}", tensors)
    names: dict[int, str] = {}
    groups = []
    for number, group in enumerate(state["param_groups"]):
        row = {}
        for key, value in group.items():
            # groups that share one tensor share it afterwards too: schedulers write into it
            name = names.setdefault(id(value), f"groups/{number}/{key}")
            row[key] = _stored(value, name if isinstance(value, Tensor) else f"groups/{number}/{key}", tensors)
        groups.append(row)
    json: dict[str, Any] = {"groups": groups, "scalars": scalars}
    if more := {key: value for key, value in state.items() if key not in ("state", "param_groups")}:
        json["more"] = _stored(more, "more", tensors)
    return tensors, json


def join_optimizer(tensors: Mapping[str, Tensor], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`split_optimizer`; damaged content raises what dicts, ints and lists raise, or FileError."""
    state: dict[int, dict[str, Any]] = {
        int(index): {key: _rebuilt(value, tensors) for key, value in values.items()}
        for index, values in stored["scalars"].items()
    }
    for name, value in tensors.items():
        if not name.startswith(_NESTED):
            index, _, key = name.partition(":")
            state.setdefault(int(index), {})[key] = value
    groups = [
        # earlier versions stored betas as a list
        {
            key: tuple(value) if key == "betas" and isinstance(value, list) else _rebuilt(value, tensors)
            for key, value in group.items()
        }
        for group in stored["groups"]
    ]
    more = _rebuilt(stored["more"], tensors) if "more" in stored else {}
    # by number: a file has names in the order of letters, and a snapshot of the state keeps the order that it finds
    return {**more, "state": dict(sorted(state.items())), "param_groups": groups}


def _stored(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON; its tensors go into ``tensors``."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if _is_json(value) or (isinstance(value, list) and all(_is_json(item) for item in value)):
        return value
    inner, picture = flatten(value, name)
    tensors |= inner
    return {"tree": picture}


def _rebuilt(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, Mapping) and value.keys() == {"tensor"}:
        return tensors[value["tensor"]]
    if isinstance(value, Mapping) and value.keys() == {"tree"}:
        return unflatten(tensors, value["tree"])
    return value


def _is_json(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
