"""The forward of a fused module: a method of the instance, with the name and the signature of the one of its class."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _torch_module

from tamis.nn._fuse_graph import Rewritten, rewrite
from tamis.nn._fuse_steps import has_hooks
from tamis.nn._fuse_trace import ONE_AT_A_TIME
from tamis.nn._fuse_tracer import arguments_of, autocast_is_enabled

_GLOBAL_HOOKS = (
    _torch_module._global_forward_hooks, _torch_module._global_forward_pre_hooks,
    _torch_module._global_backward_hooks, _torch_module._global_backward_pre_hooks,
)  # fmt: skip
_TENSORS = (Tensor, nn.Parameter)
_Code = tuple[Callable[..., Any], tuple[Any, ...]]


class Fused:
    """What a fused module carries: its code, and when that code may stand for the module's own forward.

    It may for calls like the one that was traced (tensors without autocast, defaults left alone), while everything that
    the trace read is what it was and nobody listens to the containers that the fused code passes by.
    """

    def __init__(self, owner: nn.Module, chains: tuple[str, ...], rewritten: Rewritten | None = None) -> None:
        self.owner = owner
        self.chains = chains
        self.rewritten = rewritten
        self.untried = rewritten is None
        self.own: Any = type(owner).forward
        self.arguments = arguments_of(self.own)

    def install(self) -> None:
        """Let the module use it."""
        state = self.owner.__dict__
        # This one first: pickle looks the two methods up by their names, on a module that has only what came before.
        state["_fused"] = self
        state["forward"] = types.MethodType(_method(self.own), self.owner)
        state["extra_repr"] = types.MethodType(_extra_repr, self.owner)

    def remove(self) -> None:
        """Undo :meth:`install`; a forward that somebody else has put there stays."""
        state = self.owner.__dict__
        del state["_fused"]
        if hasattr(state.get("forward"), "calls_fused_code"):
            del state["forward"]
        if getattr(state.get("extra_repr"), "__func__", None) is _extra_repr:
            del state["extra_repr"]

    def code_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Code | None:
        """The fused code and its arguments after the module; None where the module's own forward must run."""
        # What compiles or records a model fuses by itself.
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or any(_GLOBAL_HOOKS) or autocast_is_enabled():
            return None
        tensors = self._tensors(args, kwargs)
        if tensors is None:
            return None
        if self.untried:  # after unpickling: code does not travel, what it was made from does
            with ONE_AT_A_TIME:
                self.rewritten = self.rewritten or (rewrite(self.owner) if self.untried else None)
                self.untried = False
        if self.rewritten is None or type(self.owner).forward is not self.own or not self._holds(self.rewritten):
            return None
        return self.rewritten.forward, tensors

    def _tensors(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
        """The arguments without defaults, if they are tensors and the others are at their defaults."""
        required, positional, defaults = self.arguments
        if len(args) != len(required) or kwargs:
            given = dict(zip(positional, args, strict=False))
            if len(args) > len(positional) or given.keys() & kwargs.keys():
                return None
            given.update(kwargs)
            args = tuple(given.pop(name, None) for name in required)
            if any(name not in defaults or value is not defaults[name] for name, value in given.items()):
                return None
        return args if all(type(value) in _TENSORS for value in args) else None

    def _holds(self, rewritten: Rewritten) -> bool:
        traced = rewritten.traced
        return traced.reads.hold(self.owner) and not any(
            has_hooks(self.owner.get_submodule(name)) for name in traced.opened
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Fused:
        other = object.__new__(type(self))
        memo[id(self)] = other
        other.__dict__.update(self.__dict__)
        other.owner = copy.deepcopy(self.owner, memo)
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {"owner": self.owner, "chains": self.chains}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Fused.__init__(self, state["owner"], state["chains"])
        self.install()


def _method(own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        fused = self.__dict__.get("_fused")
        code = None if fused is None else fused.code_for(args, kwargs)
        return type(self).forward(self, *args, **kwargs) if code is None else code[0](self, *code[1])

    forward.__name__ = "forward"  # by which pickle finds it
    forward.calls_fused_code = True  # type: ignore[attr-defined]
    return forward


def _extra_repr(self: Any) -> str:
    """The module's own description and what is fused."""
    own = type(self).extra_repr(self)
    return ", ".join([*([own] if own else []), *(f"fused=({chain})" for chain in self.__dict__["_fused"].chains)])


_extra_repr.__name__ = "extra_repr"  # by which pickle finds it
