"""Hooks that keep ``state_dict`` and ``load_state_dict`` as they were while a sparsifier holds the model.

All hooks are plain functions of a module, never bound methods: ``copy.deepcopy`` and pickling of the model then carry a
name and not a sparsifier.  Which support a layer is held to is looked up in a weak registry, where a copy is unknown.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn, optim

from tamis.errors import UsageError
from tamis.kernels import PackedPattern
from tamis.methods._due_change import DueChange
from tamis.methods._optimizer_state import is_elementwise
from tamis.nn import is_packed
from tamis.sparsity import mask_hash

_PACKED_KEYS = ("values", "indices", "row_ptr")
_SUPPORT_KEY = "tamis_support"  # beside packed state of a weight in the optimizer's state_dict: the hash of its mask
_held: WeakKeyDictionary[nn.Module, Tensor | None] = WeakKeyDictionary()
_listening: WeakKeyDictionary[nn.Module, WeakSet[DueChange]] = WeakKeyDictionary()


def claim(layer: nn.Module, name: str) -> None:
    """Register ``layer`` as governed by a sparsifier, without a mask yet.

    Raises:
        UsageError: another sparsifier governs it.
    """
    if layer in _held:
        raise UsageError(f"layer {name!r} is governed by another sparsifier; call its detach() or finalize() first")
    _held[layer] = None


def hold(layer: nn.Module, mask: Tensor | None) -> None:
    """Remember the bool mask that ``layer`` is held to; None in a dense phase, and for a packed layer (its pattern)."""
    _held[layer] = mask


def held_mask(layer: Any) -> Tensor | None:
    """The bool mask that a sparsifier holds ``layer`` to, or None."""
    if layer in _held and is_packed(layer):
        return layer.forward_pattern.mask()
    return _held.get(layer)


def let_go(layer: nn.Module) -> None:
    """Forget ``layer``."""
    _held.pop(layer, None)


def show_dense_weight(module: nn.Module, state: MutableMapping[str, Any], prefix: str, metadata: Any) -> None:
    """state_dict post-hook of one layer: while it is packed, show its dense ``weight`` under the old key and place."""
    if not is_packed(module) or prefix + "values" not in state:
        return
    own = {key: state.pop(key) for key in [key for key in state if key.startswith(prefix)]}
    for key in _PACKED_KEYS:
        own.pop(prefix + key)
    layer: Any = module
    state[prefix + "weight"] = layer.dense_weight().detach()
    state.update(own)


def guard_support(model: nn.Module, state: MutableMapping[str, Any], prefix: str, *unused: Any) -> None:
    """load_state_dict pre-hook of the model: what is loaded must be zero where a held weight is pruned.

    Checked for all layers before one value is copied.  A layer that is stored packed (``name.values`` and so on) is
    accepted for a layer that is held dense.

    Raises:
        UsageError: a weight outside the support of its layer is not zero; the model is unchanged.
    """
    for name, module in model.named_modules(remove_duplicate=False):
        if module not in _held:
            continue
        layer: Any = module
        where = f"{prefix}{name}." if name else prefix
        mask = held_mask(layer)
        stored = {key: state[where + key] for key in _PACKED_KEYS if where + key in state}
        if len(stored) == len(_PACKED_KEYS):
            shape = layer.pattern.shape if is_packed(layer) else tuple(layer.weight.shape)
            pattern = PackedPattern.from_arrays(shape, stored["row_ptr"], stored["indices"])
            for key in _PACKED_KEYS:
                del state[where + key]
            state[where + "weight"] = pattern.unpack(stored["values"])
        weight = state.get(where + "weight")
        if mask is None or weight is None or weight.shape != mask.shape:
            continue
        stray = int(torch.count_nonzero(weight.detach().to(mask.device).masked_fill(mask, 0)))
        if stray:
            raise UsageError(
                f"the state to load has {stray} non-zero weights in {where}weight where the sparsifier's mask prunes "
                "them; load the weights before attach(), or the sparsifier's own state_dict first"
            )


def listen(model: nn.Module, due: DueChange) -> None:
    """Tell ``due`` from now on when ``model`` has loaded a state_dict; it is not kept alive for that."""
    _listening.setdefault(model, WeakSet()).add(due)


def tell_loaded(model: nn.Module, *unused: Any) -> None:
    """load_state_dict post-hook of the model: tell its sparsifiers."""
    for due in list(_listening.get(model, ())):
        due.loaded("model")


def guard_optimizer_state(
    names: dict[nn.Parameter, tuple[str, nn.Module]], optimizer: optim.Optimizer, state_dict: dict[str, Any]
) -> dict[str, Any]:
    """Optimizer ``load_state_dict`` pre-hook: fit stored state to layers that are packed now.

    Dense state for a packed layer is packed with the layer's pattern (state of pruned weights is dropped).

    Args:
        names: layer name and layer of each governed weight.
        optimizer: the optimizer that loads.
        state_dict: what it is about to load; not changed.

    Returns:
        The state_dict to load.

    Raises:
        UsageError: packed state for a layer that is dense now, or for another support.
    """
    if not is_elementwise(optimizer):
        return state_dict  # torch itself reports what does not fit
    stored = dict(state_dict["state"])
    for i, parameter in _numbered(optimizer, state_dict):
        if parameter in names and i in stored:
            entry = dict(stored[i])
            support = entry.pop(_SUPPORT_KEY, None)
            stored[i] = {key: _fit(value, support, *names[parameter], key) for key, value in entry.items()}
    return {**state_dict, "state": stored}


def note_supports(
    names: dict[nn.Parameter, tuple[str, nn.Module]], optimizer: optim.Optimizer, state_dict: dict[str, Any]
) -> dict[str, Any]:
    """Optimizer ``state_dict`` post-hook: say of packed state which support it is of, as a hash beside it.

    Returns:
        The state_dict to hand out; the optimizer's own state is not changed.
    """
    state = dict(state_dict["state"])
    for i, parameter in _numbered(optimizer, state_dict):
        if parameter in names and i in state and is_packed(names[parameter][1]):
            state[i] = {**state[i], _SUPPORT_KEY: _support_hash(names[parameter][1])}
    return {**state_dict, "state": state}


def _numbered(optimizer: optim.Optimizer, state_dict: dict[str, Any]) -> list[tuple[int, nn.Parameter]]:
    """The optimizer's parameters with their numbers in ``state_dict``; none if it is of other parameters."""
    ids = [i for group in state_dict["param_groups"] for i in group["params"]]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return list(zip(ids, parameters, strict=True)) if len(ids) == len(parameters) else []


def _support_hash(layer: Any) -> Tensor:
    """The SHA-256 of the layer's stored support, uint8 ``(32,)``: a tensor, like everything else in such a state."""

    def build() -> Tensor:
        return torch.tensor(list(bytes.fromhex(mask_hash({"": layer.pattern.mask()}))), dtype=torch.uint8)

    found: Tensor = layer.pattern.remember("hash", build)
    return found.clone()


def _fit(value: Any, support: Tensor | None, name: str, layer: Any, key: str) -> Any:
    if not isinstance(value, Tensor) or value.dim() == 0:
        return value
    if is_packed(layer) and tuple(value.shape) == layer.pattern.shape:
        return layer.pattern.pack(value)
    if value.shape != layer.weight.shape:
        found = f"has shape {tuple(value.shape)}, but the weight now has {tuple(layer.weight.shape)}"
    elif is_packed(layer) and support is not None and not torch.equal(support.cpu(), _support_hash(layer)):
        found = "belongs to another mask than the one that the weight is packed with now"
    else:
        return value
    raise UsageError(
        f"optimizer state {key!r} of {name}.weight {found}; resume in the order sparsifier.attach(model, optimizer), "
        "sparsifier.load_state_dict(...), model.load_state_dict(...), optimizer.load_state_dict(...)"
    )
