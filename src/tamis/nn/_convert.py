"""Packing and unpacking, of one layer in place and of whole models."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tamis.errors import FileError, UsageError
from tamis.kernels import InnerPattern, PackedPattern
from tamis.nn import _fuse
from tamis.nn._layers import DENSE_OF, SPARSE_OF, keep_from_fused_callers, release_to_fused_callers
from tamis.nn._prunable import can_pack, is_packed, packing_obstacle, prunable_modules
from tamis.nn._state import PACKED_KEYS, replace_data

Model = TypeVar("Model", bound=nn.Module)


def pack_module(module: nn.Module, mask: Tensor, forward: Tensor | None = None) -> PackedPattern:
    """Turn a dense layer into its packed form, in place; weights outside ``mask`` are dropped.

    With a ``forward`` mask the layer stores the weights of ``mask``, all of them with gradients, but computes its
    result and the gradient of its input with those of ``forward`` alone.

    The parameter object stays (optimizer groups and references hold); its data become ``(nnz,)``, its gradient, if
    any, is packed too.  Call it between optimizer steps, not between forward and backward.

    Args:
        module: an ``nn.Linear``, ``nn.Conv1d`` or ``nn.Conv2d`` (not a subclass).
        mask: bool tensor of the weight's shape.
        forward: bool tensor of the weight's shape, nowhere True where ``mask`` is not; None means ``mask``.

    Raises:
        UsageError: the module cannot be packed or is packed already, or a mask does not fit.
    """
    if is_packed(module):
        raise UsageError(f"{type(module).__name__} is packed already; unpack it first")
    if obstacle := packing_obstacle(module):
        raise UsageError(f"cannot pack {type(module).__name__}: {obstacle}")
    layer: Any = module
    if tuple(mask.shape) != tuple(layer.weight.shape):
        raise UsageError(f"mask of shape {tuple(mask.shape)} for a weight of shape {tuple(layer.weight.shape)}")
    pattern = PackedPattern.from_mask(mask)
    inner = None if forward is None else InnerPattern.from_mask(pattern, forward)
    _convert(layer, SPARSE_OF[type(layer)], pattern.pack)
    layer.pattern = pattern
    if inner is not None:
        layer.inner = inner
    return pattern


def unpack_module(module: nn.Module) -> None:
    """Undo :func:`pack_module`, in place: the dense weight of the forward pass, with exact zeros outside its support.

    A layer computes the same before and after; stored weights that its forward pass does not use are lost.

    Raises:
        UsageError: the module is not packed.
    """
    if not is_packed(module):
        raise UsageError(f"{type(module).__name__} is not packed")
    layer: Any = module
    _convert(layer, DENSE_OF[type(layer)], layer.pattern.unpack)
    inner = layer.__dict__.pop("inner", None)
    if inner is not None:
        layer.weight.data.masked_fill_(~inner.pattern.mask().to(layer.weight.device), 0.0)
    del layer.pattern


def _convert(layer: Any, to: type[nn.Module], move: Callable[[Tensor], Tensor]) -> None:
    data = move(layer.weight.detach()).contiguous()
    grad = None if layer.weight.grad is None else move(layer.weight.grad)
    replace_data(layer.weight, data)
    layer.weight.grad = grad
    layer.__class__ = to
    if is_packed(layer):
        keep_from_fused_callers(layer)
    else:
        release_to_fused_callers(layer)


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
        UserWarning: a sparse layer stays dense because it is on another device or not float32.
    """
    layers = prunable_modules(model, include, exclude)
    masks = dict(masks or {})
    unknown = sorted(set(masks) - set(layers))
    if unknown:
        raise UsageError(f"masks for {unknown}, which are no prunable layers; this model has {sorted(layers)}")
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
    if elsewhere:
        warnings.warn(elsewhere, stacklevel=2)
    if fuse and any(is_packed(layer) for layer in layers.values()):
        for layer in layers.values():
            if _is_depthwise(layer) and not is_packed(layer) and can_pack(layer, within=model):
                pack_module(layer, torch.ones_like(layer.weight, dtype=torch.bool))
        _fuse.fuse(model)
    return model


def _may_move(layer: Any) -> bool:
    """Whether a layer could be packed if it were on the CPU and float32."""
    elsewhere = layer.weight.device.type != "cpu" or layer.weight.dtype != torch.float32
    return type(layer) in SPARSE_OF and elsewhere and not layer.weight.is_meta


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels


def densify(model: Model) -> Model:
    """Unpack every packed layer and unfuse every module of a model, in place; returns the same model, plain torch."""
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
