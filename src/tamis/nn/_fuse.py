"""Fusing the blocks of a model: batch norm, addition and activation in one operation, the modules themselves untouched.

A fused module gets a forward of its own (an attribute of the instance) that calls the same children with the same
parameters, buffers and names; :func:`unfuse` deletes it.
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from tamis.nn._fuse_forward import Fused
from tamis.nn._fuse_graph import rewrite
from tamis.nn._fuse_tracer import opens

Model = TypeVar("Model", bound=nn.Module)


def fuse(model: Model) -> Model:
    """Fuse batch norm with the addition and the activation behind it, wherever a model's code does one after the other.

    In place.  Modules, parameters, buffers, names and ``state_dict`` stay what they are; results and gradients stay
    the same within float32 rounding.  Each module is traced by itself with ``torch.fx``; what cannot be traced (control
    flow that depends on data, another graph in training than in evaluation) or has hooks on the modules involved stays
    as it is.  ``print(model)`` shows what was fused.  Max pools of fused modules use the native kernel too.

    Args:
        model: any module; what is fused already is fused anew.

    Returns:
        The same model.

    Example:
        >>> from torch import nn
        >>> fuse(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()))
        Sequential(
          fused=(0 1 2)
          (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
          (1): BatchNorm2d(2, ...)
          (2): ReLU()
        )
    """
    unfuse(model)
    _fuse_below(model, set())
    return model


def unfuse(model: Model) -> Model:
    """Undo :func:`fuse`, in place; returns the same model."""
    for module in model.modules():
        if is_fused(module):
            module.__dict__["_fused"].remove()
    return model


def is_fused(module: nn.Module) -> bool:
    """Whether this very module (not one inside it) has a fused forward."""
    return isinstance(module.__dict__.get("_fused"), Fused)


def _fuse_below(module: nn.Module, seen: set[int]) -> None:
    if id(module) in seen:
        return
    seen.add(id(module))
    rewritten = None
    if "forward" not in module.__dict__ and "extra_repr" not in module.__dict__ and _holds_norms(module):
        rewritten = rewrite(module)
    if rewritten is not None:
        Fused(module, rewritten.chains, rewritten).install()
        # The code of this module calls the children of these; their own forwards are not used.
        seen.update(id(module.get_submodule(name)) for name in rewritten.traced.opened)
        for name in rewritten.traced.opened:
            for child in module.get_submodule(name).children():
                _fuse_below(child, seen)
    for child in module.children():
        _fuse_below(child, seen)


def _holds_norms(module: nn.Module) -> bool:
    return any(type(child) is nn.BatchNorm2d or opens(child) for child in module.children())
