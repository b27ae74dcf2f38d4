"""What a traced forward has read besides its arguments, as values that can be compared before a later call."""

from __future__ import annotations

import collections
import enum
import functools
import random
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tamis.nn._fuse_code import Refused, foreign, look_at


class _Mark(enum.Enum):
    MISSING = "missing"
    TENSOR = "a parameter or buffer, which the fused code reads itself"


_FIXED = (
    bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device, torch.layout,
    torch.memory_format, torch.Size, _Mark,
)  # fmt: skip
_FUNCTIONS = (
    types.FunctionType, types.ModuleType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType, type, property, staticmethod, classmethod, enum.Enum,
    torch._ops.OpOverload, torch._ops.OpOverloadPacket,
)  # fmt: skip
_CONTAINERS = (list, tuple, set, frozenset, dict, collections.OrderedDict, collections.defaultdict, collections.deque)
_ALIKE = frozenset({*_FIXED, types.FunctionType, type, types.ModuleType})
_BARE = (object, types.SimpleNamespace)  # classes written in C that keep nothing outside __dict__
_LARGEST = 1000
_PYTHON_CLASS = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def find(owner: nn.Module, path: tuple[str, ...], name: str) -> Any:
    """The attribute ``name`` of the module at ``path`` below ``owner``; a mark for tensors and where there is none."""
    module: Any = owner
    for part in path:
        module = module.__dict__["_modules"].get(part)
        if module is None:
            return _Mark.MISSING
    state = module.__dict__
    if name in state:
        return state[name]
    if name in state["_modules"]:
        return state["_modules"][name]
    for tensors in (state["_parameters"], state["_buffers"]):
        if name in tensors:
            return None if tensors[name] is None else _Mark.TENSOR
    return getattr(type(module), name, _Mark.MISSING)


def structure(module: nn.Module) -> list[tuple[str, type | None, int]]:
    """The names and classes of a module's children, and how many children those have."""
    return [
        (name, None, 0) if child is None else (name, _own_class(type(child)), len(child.__dict__["_modules"]))
        for name, child in module.__dict__["_modules"].items()
    ]


@dataclass
class _Description:
    """Turns values into comparable ones, the same for a value and its deep copy.

    Attributes:
        found: what can change in place, each with a copy of its content.
        count: how many values have been described.
    """

    found: list[tuple[Any, Any]] = field(default_factory=list)
    count: int = 0

    def of(self, value: Any) -> Any:
        """The description of ``value``.

        Raises:
            Refused: it has a state that cannot be seen.
        """
        self.count += 1
        if self.count > _LARGEST:
            raise Refused("reads a large structure")
        if isinstance(value, _FIXED):
            return type(value), value
        if isinstance(value, _FUNCTIONS):
            return value
        if isinstance(value, types.BuiltinFunctionType):
            if isinstance(value.__self__, types.ModuleType | type | None):
                return value
            return types.BuiltinFunctionType, value.__name__, self.of(value.__self__)
        if isinstance(value, types.MethodType):
            return types.MethodType, value.__func__, self.of(value.__self__)
        if isinstance(value, functools.partial):
            return functools.partial, self.of(value.func), self.of(value.args), self.of(value.keywords)
        if isinstance(value, nn.Module):
            return _own_class(type(value)), structure(value)
        if type(value) in _CONTAINERS:
            return self._container(value)
        return self._object(value)

    def _container(self, value: Any) -> Any:
        self.found.append((value, value.copy() if hasattr(value, "copy") else value))
        if isinstance(value, dict):
            return type(value), tuple((self.of(key), self.of(content)) for key, content in value.items())
        return type(value), tuple(self.of(content) for content in value)

    def _object(self, value: Any) -> Any:
        hidden = isinstance(value, torch.Tensor | random.Random) or not hasattr(value, "__dict__")
        if hidden or not all(base in _BARE or base.__flags__ & _PYTHON_CLASS for base in type(value).__mro__):
            raise Refused(f"reads a {type(value).__name__}")
        return type(value), self.of(vars(value))


_own_classes: dict[type, type] = {}  # asked for every child at every call


def _own_class(of: type) -> type:
    """The class without what packing makes of it."""
    known = _own_classes.get(of)
    if known is None:
        packed = of.__module__.startswith("tamis.nn.")
        own = next(base for base in of.__mro__ if not base.__module__.startswith("tamis.nn.")) if packed else of
        known = _own_classes[of] = own
    return known


def _same(value: Any, seen: Any, description: Any) -> bool:
    if value is seen and type(value) in _ALIKE:
        return True
    if isinstance(value, nn.Module):
        return bool((_own_class(type(value)), structure(value)) == description)
    try:
        return bool(_Description().of(value) == description)
    except Refused:
        return False


@dataclass
class Reads:
    """Attributes of modules, global names, closures and defaults that code has read or may read.

    Everything is described when it is met first, so that :meth:`hold` tells whether anything is different now.
    """

    attributes: dict[tuple[tuple[str, ...], str], tuple[Any, Any]] = field(default_factory=dict)
    children: Any = None
    others: dict[Any, tuple[Callable[[], Any], Any, Any]] = field(default_factory=dict)
    contents: list[tuple[Any, Any]] = field(default_factory=list)
    codes: dict[int, types.CodeType] = field(default_factory=dict)

    def attribute(self, owner: nn.Module, path: tuple[str, ...], name: str) -> None:
        """Note that ``name`` of the module at ``path`` is read."""
        value = find(owner, path, name)
        if not path and name in owner._modules and not (value is not None and value._modules):
            return  # all that is to be known of it is in self.children
        if (path, name) not in self.attributes:
            self.attributes[path, name] = self._described(value)
            self._called(value)

    def function(self, function: types.FunctionType) -> None:
        """Note what a function may read: what its code names, its closure and its defaults."""
        if id(function.__code__) in self.codes:
            return
        self.code(function.__code__, function.__globals__)
        for number, cell in enumerate(function.__closure__ or ()):
            self._other((id(function), number), functools.partial(getattr, cell, "cell_contents", _Mark.MISSING))
        for name in ("__defaults__", "__kwdefaults__"):
            self._other((id(function), name), functools.partial(getattr, function, name))

    def code(self, code: types.CodeType, namespace: dict[str, Any]) -> None:
        """Note what the names in ``code`` mean; refuses code that does more than compute."""
        if id(code) in self.codes:
            return
        self.codes[id(code)] = code
        named = look_at(code, namespace)
        for name in named.globals:
            self._other((id(namespace), name), functools.partial(namespace.get, name, _Mark.MISSING))
            value = namespace.get(name)
            if isinstance(value, types.ModuleType):
                inside = vars(value)
                for attribute in named.attributes & inside.keys():
                    self._other((id(inside), attribute), functools.partial(inside.get, attribute, _Mark.MISSING))

    def hold(self, owner: nn.Module) -> bool:
        """Whether all that was read is what it was."""
        if structure(owner) != self.children:
            return False
        for (path, name), (seen, description) in self.attributes.items():
            if not _same(find(owner, path, name), seen, description):
                return False
        return all(_same(get(), seen, description) for get, seen, description in self.others.values())

    def _other(self, key: Any, get: Callable[[], Any]) -> None:
        if key not in self.others:
            value = get()
            self.others[key] = (get, *self._described(value))
            self._called(value)

    def _described(self, value: Any) -> tuple[Any, Any]:
        description = _Description()
        try:
            return value if type(value) in _ALIKE else None, description.of(value)
        finally:
            self.contents += description.found

    def _called(self, value: Any) -> None:
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(value, types.FunctionType) and foreign(value.__code__):
            self.function(value)
