"""The state_dict of a packed layer: ``values``, ``indices`` and ``row_ptr`` in place of ``weight``."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tamis.errors import FileError, UsageError
from tamis.kernels import PackedPattern
from tamis.nn._computed_weight import how_to_store

PACKED_KEYS = ("values", "indices", "row_ptr")


def save_packed(layer: Any, destination: MutableMapping[str, Any], prefix: str) -> None:
    """Replace ``weight`` in a state_dict by three packed arrays: the weights of the forward pass.

    Raises:
        UsageError: the layer's weight is computed from others now.
    """
    if prefix + "weight" not in destination:
        name, call = prefix.rstrip(".") or type(layer).__name__, how_to_store(layer)
        raise UsageError(
            f"{name}: its packed weight is computed from others and cannot be saved; call "
            f"{call or 'what makes it a parameter again'} first, or mask before packing"
        )
    stored = destination.pop(prefix + "weight")
    destination[prefix + "values"] = stored if layer.inner is None else layer.inner.take(stored)
    destination[prefix + "indices"] = layer.forward_pattern.indices
    destination[prefix + "row_ptr"] = layer.forward_pattern.row_ptr


@contextmanager
def load_packed(layer: Any, state_dict: MutableMapping[str, Any], prefix: str) -> Iterator[None]:
    """While torch copies one packed layer's state, show it ``weight``; the caller's dict is restored afterwards.

    A stored pattern that differs from the layer's replaces it.  A dense ``weight`` is accepted when all its
    non-zeros lie in the layer's support.  A layer with an inner pattern takes weights of that pattern, in whatever form
    they are stored, and keeps its other weights.

    Raises:
        FileError: the stored arrays do not describe this layer, or a dense weight is not zero where it must be.
    """
    keys = [prefix + key for key in PACKED_KEYS]
    taken = {key: state_dict.pop(key) for key in keys if key in state_dict}
    dense = state_dict.get(prefix + "weight")
    name = prefix.rstrip(".") or type(layer).__name__
    if taken and len(taken) != len(keys):
        state_dict.update(taken)
        raise FileError(f"{name}: found {sorted(taken)}, expected all of {keys}; the state_dict is incomplete")
    try:
        if taken:
            values, indices, row_ptr = (taken[key] for key in keys)
            pattern = PackedPattern.from_arrays(layer.pattern.shape, row_ptr, indices)
            if layer.inner is None:
                adopt_pattern(layer, pattern, values, name)
                state_dict[prefix + "weight"] = values
            else:
                state_dict[prefix + "weight"] = _stored_values(layer, pattern.unpack(values), name)
        elif dense is not None:
            if tuple(dense.shape) != layer.pattern.shape:
                raise FileError(
                    f"{name}: weight of shape {tuple(dense.shape)} for a layer of shape {layer.pattern.shape}; packed "
                    f"layers are stored as {', '.join(PACKED_KEYS)}"
                )
            state_dict[prefix + "weight"] = _stored_values(layer, dense, name)
        yield
    finally:
        if taken:
            state_dict.pop(prefix + "weight", None)
            state_dict.update(taken)
        elif dense is not None:
            state_dict[prefix + "weight"] = dense


def adopt_pattern(layer: Any, pattern: PackedPattern, values: Tensor, name: str) -> None:
    """Give ``layer`` another support of the same dense shape; its parameter object stays."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise FileError(f"{name}: values must be a floating-point tensor, got {getattr(values, 'dtype', type(values))}")
    if tuple(values.shape) != (pattern.nnz,):
        raise FileError(f"{name}: {pattern.nnz} indices but values of shape {tuple(values.shape)}")
    old = layer.pattern
    if torch.equal(old.row_ptr, pattern.row_ptr) and torch.equal(old.indices, pattern.indices):
        return
    layer.pattern = pattern
    replace_data(layer.weight, values.detach().clone().to(layer.weight.dtype))


def replace_data(parameter: torch.nn.Parameter, data: Tensor) -> None:
    """Give a parameter data of another shape while it stays the same object in optimizer and references.

    A gradient accumulator that an old graph keeps alive remembers the old shape and would refuse the new gradient;
    torch drops it only when the type changes, hence the detour.  The gradient is cleared.
    """
    parameter.grad = None
    other = torch.float64 if parameter.dtype != torch.float64 else torch.float32
    parameter.data = torch.empty(0, dtype=other)
    parameter.data = data


def _stored_values(layer: Any, dense: Tensor, name: str) -> Tensor:
    values = _pack_checked(layer.forward_pattern, dense, name)
    if layer.inner is None:
        return values
    return layer.weight.detach().index_copy(0, layer.inner.positions, values.to(layer.weight.dtype))


def _pack_checked(pattern: PackedPattern, dense: Tensor, name: str) -> Tensor:
    values = pattern.pack(dense)
    if int(values.count_nonzero()) != int(dense.count_nonzero()):
        raise FileError(
            f"{name}: the dense weight is not zero at {int(dense.count_nonzero()) - int(values.count_nonzero())} "
            "places outside the layer's support; densify the model before loading it"
        )
    return values
