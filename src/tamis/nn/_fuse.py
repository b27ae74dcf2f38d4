"""Fusing the blocks of a model: batch norm, addition and activation in one operation, the modules themselves untouched.

A fused module gets a forward of its own (an attribute of the instance) that calls the same children with the same
parameters, buffers and names; :func:`unfuse` deletes it.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import fx, nn
from torch.nn.modules import module as _torch_module

from tamis.nn._fuse_graph import Rewritten, opens, rewrite
from tamis.nn._fuse_steps import has_hooks

Model = TypeVar("Model", bound=nn.Module)
_PLAIN = (bool, int, float, str, type(None), tuple)


class FusedForward:
    """The forward of one fused module.

    Used only while the module is what was traced: the same children, the same plain attributes, no hooks on the
    containers that the fused code passes by.  Otherwise the module's own forward runs.
    """

    def __init__(self, owner: nn.Module, rewritten: Rewritten) -> None:
        self.owner = owner
        self.rewritten: Rewritten | None = rewritten
        self.chains = rewritten.chains
        self.opened = rewritten.opened
        self.signature = self._signature()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.rewritten is None:  # after unpickling: code does not travel, what it was made from does
            self.rewritten = rewrite(self.owner)
        if self.rewritten is None or any(isinstance(arg, fx.Proxy) for arg in args) or not self.holds():
            return type(self.owner).forward(self.owner, *args, **kwargs)
        return self.rewritten.forward(self.owner, *args, **kwargs)

    def holds(self) -> bool:
        """Whether the module still is what was fused, so that the fused code means the same."""
        if _torch_module._global_forward_hooks or _torch_module._global_forward_pre_hooks:
            return False
        return self.signature == self._signature() and not any(
            has_hooks(self.owner.get_submodule(name)) for name in self.opened
        )

    def extra_repr(self) -> str:
        """The module's own description and what is fused."""
        own = type(self.owner).extra_repr(self.owner)
        return ", ".join([*([own] if own else []), *(f"fused=({chain})" for chain in self.chains)])

    def _signature(self) -> tuple[Any, ...]:
        state = vars(self.owner)
        plain = tuple(
            (name, value)
            for name, value in state.items()
            if name[0] != "_" and name != "training" and isinstance(value, _PLAIN)
        )
        children = tuple(tuple(self.owner.get_submodule(name)._modules) for name in self.opened)
        absent = tuple((name, child is None) for name, child in self.owner._modules.items())
        return plain, absent, children

    def __deepcopy__(self, memo: dict[int, Any]) -> FusedForward:
        other = object.__new__(type(self))
        memo[id(self)] = other
        other.__dict__.update(self.__dict__)
        other.owner = copy.deepcopy(self.owner, memo)
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "rewritten": None}


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
            del module.__dict__["forward"], module.__dict__["extra_repr"]
    return model


def is_fused(module: nn.Module) -> bool:
    """Whether this very module (not one inside it) has a fused forward."""
    return isinstance(module.__dict__.get("forward"), FusedForward)


def _fuse_below(module: nn.Module, seen: set[int]) -> None:
    if id(module) in seen:
        return
    seen.add(id(module))
    rewritten = None
    if "forward" not in module.__dict__ and "extra_repr" not in module.__dict__ and _holds_norms(module):
        rewritten = rewrite(module)
    if rewritten is not None:
        forward = FusedForward(module, rewritten)
        module.__dict__["forward"] = forward
        module.__dict__["extra_repr"] = forward.extra_repr
        # The code of this module calls the children of these; their own forwards are not used.
        seen.update(id(module.get_submodule(name)) for name in rewritten.opened)
        for name in rewritten.opened:
            for child in module.get_submodule(name).children():
                _fuse_below(child, seen)
    for child in module.children():
        _fuse_below(child, seen)


def _holds_norms(module: nn.Module) -> bool:
    return any(type(child) is nn.BatchNorm2d or opens(child) for child in module.children())
