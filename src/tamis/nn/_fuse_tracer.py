"""A tracer that gives up wherever a graph would not say all that a forward does."""

from __future__ import annotations

import contextlib
import inspect
import operator
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from tamis.nn._fuse_code import Refused, foreign, wraps_a_state
from tamis.nn._fuse_reads import Reads
from tamis.nn._fuse_steps import has_hooks

# What gives parameters, buffers or modules past the tracer.
_PAST_THE_TRACER = frozenset(
    {
        "parameters", "named_parameters", "buffers", "named_buffers", "modules", "named_modules", "state_dict",
        "get_parameter", "get_buffer", "get_submodule", "__dict__", "_parameters", "_buffers", "_modules",
    }
)  # fmt: skip
_EXACT = (tuple, list, dict, torch.Size, fx.immutable_collections.immutable_list)


def opens(module: nn.Module) -> bool:
    """Whether ``module`` is a plain ``nn.Sequential`` that holds a batch norm, directly or in another one."""
    if type(module) is not nn.Sequential or has_hooks(module):
        return False
    return any(type(child) is nn.BatchNorm2d or opens(child) for child in module)


def autocast_is_enabled() -> bool:
    """Whether autocast is on for any device."""
    asked = torch.is_autocast_enabled
    return asked("cpu") or asked("cuda") or asked("xpu") or asked("mps")


class Arguments(NamedTuple):
    """The arguments of a method after self: names without default, all names that have a place, and all defaults."""

    required: tuple[str, ...]
    positional: tuple[str, ...]
    defaults: dict[str, Any]


def arguments_of(method: Callable[..., Any]) -> Arguments:
    """The arguments of ``method``; ``*args`` and ``**kwargs`` are left out.

    Raises:
        Refused: one without default must be given by name.
    """
    parameters = list(inspect.signature(method).parameters.values())[1:]
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise Refused(f"wants {parameter.name} by name")
    return Arguments(
        tuple(p.name for p in placed if p.default is p.empty),
        tuple(p.name for p in placed),
        {p.name: p.default for p in parameters if p.default is not p.empty},
    )


def graph_of(module: nn.Module, tracer: Tracer) -> fx.Graph:
    """What ``tracer`` sees of the forward of ``module``."""
    with _watched(tracer.note):
        return tracer.trace(module)


@contextlib.contextmanager
def _watched(note: Callable[[nn.Module, str], None]) -> Iterator[None]:
    """While it lasts, ``note`` hears of every attribute of a module that foreign code in this thread asks for."""
    thread = threading.get_ident()

    def getattribute(module: nn.Module, name: str) -> Any:
        if threading.get_ident() == thread and foreign(sys._getframe(1).f_code):
            note(module, name)
        return object.__getattribute__(module, name)

    nn.Module.__getattribute__ = getattribute  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del nn.Module.__getattribute__


class _Value(fx.Proxy):
    """A value in a trace; refuses questions that it cannot answer but a tensor, a shape or a number would."""

    @property  # type: ignore[misc]  # fx knows nothing of it
    def __class__(self) -> Any:  # what isinstance() asks
        if not foreign(sys._getframe(1).f_code):
            return type(self)
        if not self._is_argument():
            self.tracer.refuse("asks for the class of a value")  # type: ignore[attr-defined]
        return Tensor

    def __getattr__(self, name: str) -> Any:
        if foreign(sys._getframe(1).f_code) and not hasattr(Tensor, name):
            if self._is_argument():
                raise AttributeError(f"'Tensor' object has no attribute {name!r}")
            self.tracer.refuse(f"asks a value for {name}")  # type: ignore[attr-defined]
        return _Attribute(self, name)

    def __hash__(self) -> int:
        if foreign(sys._getframe(1).f_code):
            self.tracer.refuse("uses a value as a key")  # type: ignore[attr-defined]
        return object.__hash__(self)

    def __repr__(self) -> str:
        if foreign(sys._getframe(1).f_code):
            self.tracer.refuse("writes a value out")  # type: ignore[attr-defined]
        return super().__repr__()

    def _is_argument(self) -> bool:
        """Fused code is for calls with tensors alone."""
        return type(self) is _Value and self.node.op == "placeholder"


class _Attribute(_Value, fx.proxy.Attribute):
    """An attribute of a value in a trace, or the call of a method."""


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def change(self: _Value, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return change


# By itself fx takes `x += y` for `x = x + y`, which leaves alone what else is called x.
for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "imatmul"):
    setattr(_Value, f"__{_name}__", _in_place(getattr(operator, _name)))


class Tracer(fx.Tracer):
    """Sees the calls that one module makes; children are opaque, but for Sequentials around a batch norm."""

    # Otherwise conditions on buffers would be decided by what is in them now.
    proxy_buffer_attributes = True

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.reads = reads
        self.refused = False
        self.state = _state()
        self.thread = threading.get_ident()

    def refuse(self, reason: str) -> None:
        """Give up, even if foreign code catches the exception."""
        self.refused = True
        raise Refused(reason)

    def note(self, module: nn.Module, name: str) -> None:
        """Foreign code asks ``module`` for ``name``."""
        path = (self.submodule_paths or {}).get(module)
        if path is None or name in _PAST_THE_TRACER:
            self.refuse(f"reads {name} of a module")
        elif name != "__class__" and (path or name != "training"):
            self.reads.attribute(self.root, tuple(path.split(".")) if path else (), name)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if not opens(m):
            return True
        self.opened.append(module_qualified_name)
        return False

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self.thread:  # another thread uses a model meanwhile
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        names = arguments_of(root_fn).required
        return root_fn, [self.root, *(self.create_proxy("placeholder", name, (), {}) for name in names)]

    def create_arg(self, a: Any) -> Any:
        if issubclass(type(a), fx.Proxy):
            return a.node
        if isinstance(a, tuple | list | dict) and type(a) not in _EXACT and not hasattr(a, "_fields"):
            self.refuse(f"makes a {type(a).__name__}, which the graph would not keep")
        return super().create_arg(a)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if _state() != self.state:
            self.refuse("changes the state of torch")
        self._look_at_callers()
        return super().create_node(*args, **kwargs)

    def _look_at_callers(self) -> None:
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None and not _begins_trace(frame.f_code):
            if foreign(frame.f_code):
                self.reads.code(frame.f_code, frame.f_globals)
            elif wraps_a_state(frame.f_code):
                self.refuse(f"calls through {frame.f_code.co_filename}")
            frame = frame.f_back


def _begins_trace(code: types.CodeType) -> bool:
    """Whether ``code`` is fx's, which calls the forward; torch.compile, once used, puts a frame around it."""
    return code.co_name == "trace" and code.co_filename == fx._symbolic_trace.__file__


def _state() -> tuple[Any, ...]:
    """What decides how torch computes, besides tensors; a graph does not say it."""
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype(), autocast_is_enabled()
