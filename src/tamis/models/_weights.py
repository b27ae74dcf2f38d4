"""Putting a state dict into a network, with one readable error where they do not fit."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor, nn

from tamis.errors import FileError
from tamis.models._foreign import load_foreign_checkpoint

_SHOWN = 3


def load_pretrained(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Load a foreign checkpoint into ``model`` in place and return it.

    The file is read by :func:`load_foreign_checkpoint`; a class method ``checkpoint_filter(state) -> state`` of the
    model's class translates key names of other programs.  Raises ``FileError`` as that function does, and if keys,
    shapes or kinds of dtype differ (see :func:`load_weights`).
    """
    state = load_foreign_checkpoint(path)
    translate = getattr(type(model), "checkpoint_filter", None)
    return load_weights(model, translate(state) if translate else state, source=os.fspath(path))


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, source: str = "state dict") -> nn.Module:
    """Copy every tensor of ``state`` into ``model`` in place and return it; dtypes are converted to the model's.

    Keys must agree exactly, except that batch norm's ``num_batches_tracked`` may be absent (old torch did not save
    it).  Raises ``FileError`` that names ``source`` and the first few keys that are missing, unexpected, or of
    another shape or kind of dtype; the model is then unchanged.
    """
    own = model.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    missing = [key for key in own if key not in state and key not in optional]
    unexpected = [key for key in state if key not in own]
    differing = [
        f"{key} is {_describe(state[key])}, the model has {_describe(own[key])}"
        for key in own
        if key in state and _kind(state[key]) != _kind(own[key])
    ]
    problems = [
        _first_few("missing", missing),
        _first_few("unexpected", unexpected),
        _first_few("different", differing),
    ]
    if any(problems):
        raise FileError(
            f"{source}: does not fit {type(model).__name__}: {'; '.join(filter(None, problems))}. "
            "Expected the same architecture, number of classes and input channels"
        )
    model.load_state_dict(dict(state), strict=False)
    return model


def _kind(tensor: Tensor) -> tuple[object, ...]:
    return tuple(tensor.shape), tensor.is_floating_point(), tensor.is_complex()


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _first_few(label: str, entries: list[str]) -> str:
    if not entries:
        return ""
    more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return f"{label}: {', '.join(entries[:_SHOWN])}{more}"
