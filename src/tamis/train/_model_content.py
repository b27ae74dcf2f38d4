"""A model as it lies in a file: packed layers as three arrays with their dense shapes, and its modules' extra state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import FileError
from tamis.kernels import PackedPattern
from tamis.methods._tree import flatten, unflatten
from tamis.nn import is_packed

PACKED_KEYS = ("values", "indices", "row_ptr")
# a file may describe packed layers that are this much larger when dense; one live weight in 2000 gives a factor of 1000
MAX_EXPANSION = 1000
ALWAYS_ALLOWED = 64 << 20


def model_content(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The model's tensors with packed layers as three arrays, and what the header of a file says about them.

    Raises:
        FileError: a module's extra state cannot be stored.
    """
    state = dict(model.state_dict())
    shapes: dict[str, list[int]] = {}
    for name, module in model.named_modules(remove_duplicate=False):  # state_dict has every name of a module too
        if is_packed(module):
            layer: Any = module
            prefix = f"{name}." if name else ""
            state.pop(f"{prefix}weight", None)  # shown by a sparsifier's hooks
            pattern = layer.forward_pattern
            arrays = (layer.forward_values().detach(), pattern.indices, pattern.row_ptr)
            state |= {prefix + key: array for key, array in zip(PACKED_KEYS, arrays, strict=True)}
            shapes[name] = list(layer.pattern.shape)
    extra = {key: state.pop(key) for key in [key for key, value in state.items() if not isinstance(value, Tensor)]}
    if not extra:
        return state, {"shapes": shapes}
    inner, picture = flatten(extra, "extra:")
    return {**state, **inner}, {"shapes": shapes, "extra_state": picture}


def extra_state_of(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> dict[str, Any]:
    """The extra state that :func:`model_content` put into tensors and header, by key; empty if there is none."""
    if "extra_state" not in header:
        return {}
    found = unflatten(tensors, header["extra_state"])
    if not isinstance(found, dict):
        raise FileError("its extra state is not a dict by key")
    return found


def unpacked_tensors(state: Mapping[str, Tensor], shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Undo :func:`model_content`: dense ``name.weight`` for each packed layer.

    A layer with several names may have its shape under one of them alone, as earlier versions wrote it.

    Raises:
        FileError: the arrays do not fit, or the dense layers would take more than 64 MiB and than 1000 times the bytes
            that are stored.
    """
    dense, shapes = dict(state), {**shapes, **_shapes_of_aliases(state, shapes)}
    stored = sum(tensor.nbytes for tensor in state.values())
    wanted = 4 * sum(math.prod(int(side) for side in shape) for shape in shapes.values())
    if wanted > max(ALWAYS_ALLOWED, MAX_EXPANSION * stored):
        raise FileError(
            f"{stored} bytes of tensors would unpack to more than {MAX_EXPANSION} times as many; expected shapes of "
            "real layers"
        )
    for name, shape in shapes.items():
        prefix = f"{name}." if name else ""
        values, indices, row_ptr = (dense.pop(prefix + key) for key in PACKED_KEYS)
        pattern = PackedPattern.from_arrays(tuple(shape), row_ptr, indices)
        if tuple(values.shape) != (pattern.nnz,):
            raise FileError(f"{name}: {pattern.nnz} indices but values of shape {tuple(values.shape)}")
        dense[f"{prefix}weight"] = pattern.unpack(values)
    return dense


def _shapes_of_aliases(state: Mapping[str, Tensor], shapes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The shapes of packed arrays without one, where they equal those of a layer that has one."""
    names = [key.removesuffix(".row_ptr") for key in state if key.endswith(".row_ptr")]
    found: dict[str, list[int]] = {}
    for name in names:
        arrays = [state.get(f"{name}.{key}") for key in PACKED_KEYS]
        if name in shapes or any(array is None for array in arrays):
            continue
        for other, shape in shapes.items():
            others = [state.get(f"{other}.{key}") for key in PACKED_KEYS]
            if all(b is not None and torch.equal(a, b) for a, b in zip(arrays, others, strict=True)):  # type: ignore[arg-type]
                found[name] = shape
    return found
