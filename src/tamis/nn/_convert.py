"""Packing and unpacking of whole models."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from tamis.errors import FileError, UsageError
from tamis.kernels import PackedPattern
from tamis.nn import _fuse
from tamis.nn._computed_weight import computed_weight, how_to_store
from tamis.nn._layers import SPARSE_OF
from tamis.nn._pack import pack_module, unpack_module
from tamis.nn._prunable import can_pack, is_packed, packing_obstacle, prunable_modules
from tamis.nn._state import PACKED_KEYS

Model = TypeVar("Model", bound=nn.Module)


def sparsify(
    model: Model,
    masks: Mapping[str, Tensor] | None = None,
    *,
    minimum_sparsity: float = 0.5,
    include: str | Collection[str] | None = None,
    exclude: str | Collection[str] = (),
    fuse: bool = True,
) -> Model:
    """Pack the sparse layers of a model, in place, so that they run on the sparse kernels.

    Build the optimizer afterwards: packed weights are the same parameters in another shape, so what an optimizer
    keeps for them (momentum, Adam's moments) fits no more, and its next step ends in an error of torch about sizes.
    The methods of :mod:`tamis.methods` pack both while they train.

    Args:
        model: any module; layers that are packed already are left alone.
        masks: bool mask by module name; a layer that is not named takes the non-zeros of its weight as its support.
        minimum_sparsity: layers with a smaller fraction of zeros stay dense, unless ``masks`` names them.
        include: glob patterns of the module names to consider; None takes all.
        exclude: glob patterns of module names to leave dense.
        fuse: also fuse batch norms with what follows them (:func:`tamis.nn.fuse`), if any layer is packed, and pack
            depthwise convolutions with all their weights alive: fused blocks hand on tensors with the images innermost,
            which dense torch would turn around at every depthwise layer.

    Returns:
        The same model.  ``print(model)`` shows the packed layers with their live weights, and what was fused.

    Raises:
        UsageError: a mask names no prunable layer, has the wrong shape, or names a layer that cannot be packed.

    Warns:
        UserWarning: a sparse layer stays dense because it is on another device or not float32, or because its weight
            is computed from others (masks of ``torch.nn.utils.prune``, weight norm).
    """
    layers = prunable_modules(model, include, exclude)
    masks = dict(masks or {})
    unknown = sorted(set(masks) - set(layers))
    if unknown:
        why = [
            f"; {name}: {packing_obstacle(m)}" for name, m in _computed_layers(model, None, ()).items() if name in masks
        ]
        raise UsageError(
            f"masks for {unknown}, which are no prunable layers; this model has {sorted(layers)}{''.join(why)}"
        )
    for name, mask in masks.items():
        if obstacle := packing_obstacle(layers[name], model):
            raise UsageError(f"layer {name!r} cannot be packed: {obstacle}")
        if tuple(mask.shape) != tuple(layers[name].weight.shape):
            raise UsageError(
                f"{name}: mask of shape {tuple(mask.shape)} for a weight of shape {tuple(layers[name].weight.shape)}"
            )
    elsewhere = ""
    for name, layer in layers.items():
        obstacle = packing_obstacle(layer, model)
        if is_packed(layer) or (obstacle and not _may_move(layer)):
            continue
        mask = masks.get(name, layer.weight.detach() != 0)
        if name in masks or 1.0 - int(mask.sum()) / max(mask.numel(), 1) >= minimum_sparsity:
            if not obstacle:
                pack_module(layer, mask)
            else:
                elsewhere = elsewhere or f"layer {name!r} stays dense: {obstacle}"
    elsewhere = elsewhere or _sparse_but_computed(_computed_layers(model, include, exclude), minimum_sparsity)
    if elsewhere:
        warnings.warn(elsewhere, stacklevel=2)
    if fuse and any(is_packed(layer) for layer in layers.values()):
        for layer in layers.values():
            if _is_depthwise(layer) and not is_packed(layer) and can_pack(layer, within=model):
                pack_module(layer, torch.ones_like(layer.weight, dtype=torch.bool))
        _fuse.fuse(model)
    return model


def _sparse_but_computed(layers: Mapping[str, nn.Module], minimum_sparsity: float) -> str:
    """Why a sparse layer stays dense whose weight is computed from others, as a sentence; empty if there is none."""
    for name, layer in layers.items():
        weight = computed_weight(layer)
        if not weight.is_meta and 1.0 - float((weight != 0).float().mean()) >= minimum_sparsity:
            return f"layer {name!r} stays dense: {packing_obstacle(layer)}"
    return ""


def _computed_layers(
    model: nn.Module, include: str | Collection[str] | None, exclude: str | Collection[str]
) -> dict[str, nn.Module]:
    """The layers that could be packed if their weight were a parameter, by name."""

    def named(name: str, patterns: str | Collection[str]) -> bool:
        return any(fnmatchcase(name, one) for one in ([patterns] if isinstance(patterns, str) else patterns))

    return {
        name: module
        for name, module in model.named_modules()
        if type_before_parametrizations(module) in SPARSE_OF
        and how_to_store(module)
        and (include is None or named(name, include))
        and not named(name, exclude)
    }


def _may_move(layer: Any) -> bool:
    """Whether a layer could be packed if it were on the CPU and float32."""
    elsewhere = layer.weight.device.type != "cpu" or layer.weight.dtype != torch.float32
    return type(layer) in SPARSE_OF and elsewhere and not layer.weight.is_meta


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels


def densify(model: Model) -> Model:
    """Unpack every packed layer and unfuse every module of a model, in place; returns the same model, plain torch.

    As with :func:`sparsify`, build the optimizer afterwards.

    Raises:
        UsageError: the weight of a packed layer is computed from others now (masks of ``torch.nn.utils.prune``).
    """
    _fuse.unfuse(model)
    for module in list(model.modules()):
        if is_packed(module):
            unpack_module(module)
    return model


def dense_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict with every packed weight unpacked under its old key ``name.weight``; the model is unchanged."""
    state: dict[str, Tensor] = {}
    # every name of a module that has several, as torch's state_dict has it
    packed = {name: module for name, module in model.named_modules(remove_duplicate=False) if is_packed(module)}
    for key, value in model.state_dict().items():
        owner, _, leaf = key.rpartition(".")
        if owner not in packed or leaf not in (*PACKED_KEYS, "weight"):
            state[key] = value
        elif leaf in ("values", "weight"):
            name = f"{owner}.weight" if owner else "weight"
            state[name] = packed[owner].dense_weight().detach()
    return state


def load_packed_state(model: Model, state: Mapping[str, Tensor], *, fuse: bool = True) -> Model:
    """Load a state_dict with packed layers into a dense model: its layers are packed as the state says, in place.

    Args:
        model: a model of the same architecture; its packed layers are unpacked first.
        state: tensors by name, with ``name.values``, ``name.indices``, ``name.row_ptr`` for packed layers.
        fuse: also fuse batch norms with what follows them, as :func:`sparsify` does.

    Raises:
        FileError: names or shapes do not fit; the model is unchanged then.
    """
    # The model itself may be a layer; its name is "" and its keys have no prefix.
    names = sorted(key.removesuffix("row_ptr").removesuffix(".") for key in state if f".{key}".endswith(".row_ptr"))
    trial = densify(copy.deepcopy(model))
    patterns = {name: _stored_pattern(trial, name, state) for name in names}
    _pack_named(trial, patterns)
    try:
        trial.load_state_dict(dict(state))
    except FileError:
        raise
    except (RuntimeError, TypeError, AttributeError) as error:
        raise FileError(f"the state does not fit the model: {error}") from error
    densify(model)
    _pack_named(model, patterns)
    model.load_state_dict(dict(state))
    if fuse and names:
        _fuse.fuse(model)
    return model


def _stored_pattern(model: nn.Module, name: str, state: Mapping[str, Tensor]) -> PackedPattern:
    """The support that ``state`` has for the dense layer ``name``; FileError unless the layer can take it."""
    layers, named = prunable_modules(model), dict(model.named_modules(remove_duplicate=False))
    layer: Any = named.get(name)
    if not any(layer is known for known in layers.values()):
        raise FileError(f"packed layer {name!r} is not in the model, which has {sorted(layers)}")
    prefix = f"{name}." if name else ""
    missing = [key for key in PACKED_KEYS if prefix + key not in state]
    if missing:
        raise FileError(f"packed layer {name!r} lacks {missing}; the state_dict is incomplete")
    if obstacle := packing_obstacle(layer, model):
        raise FileError(f"layer {name!r} cannot be packed: {obstacle}")
    return PackedPattern.from_arrays(tuple(layer.weight.shape), state[prefix + "row_ptr"], state[prefix + "indices"])


def _pack_named(model: nn.Module, patterns: Mapping[str, PackedPattern]) -> None:
    """Pack the layers of these names; a layer with several names is packed once, and they must agree."""
    named: dict[str, Any] = dict(model.named_modules(remove_duplicate=False))
    first: dict[nn.Module, str] = {}
    for name, pattern in patterns.items():
        layer, mask = named[name], pattern.mask()
        if layer not in first:
            first[layer] = name
            pack_module(layer, mask)
        elif not torch.equal(layer.pattern.mask(), mask):
            raise FileError(f"{first[layer]!r} and {name!r} are one layer, but the state has two supports for it")
