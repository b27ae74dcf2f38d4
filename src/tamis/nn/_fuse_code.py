"""Code that only computes, and code of which tracing would see but a part: judged by its instructions."""

from __future__ import annotations

import dis
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


class Refused(Exception):
    """A module is left as it is; the message says what it does, in words that follow its name."""


@dataclass(frozen=True)
class Names:
    """The names in a piece of code: those looked up globally, and those of attributes."""

    globals: frozenset[str]
    attributes: frozenset[str]


_TORCH = str(Path(torch.__file__).parent)
_TAMIS_NN = str(Path(__file__).parent)
# Parts of torch that hand a call on; others wrap it in a state (no_grad, autocast, checkpoint, autograd.Function).
_HAND_ON = tuple(
    str(Path(_TORCH, part))
    for part in (
        "fx", "nn/modules", "nn/functional.py", "functional.py", "_tensor.py", "overrides.py", "_jit_internal.py",
    )
)  # fmt: skip

# Contexts and handlers of exceptions (PUSH_EXC_INFO stands in both; the SETUP ones are Python 3.10's), stores that
# outlive the call, and imports.
_REFUSED_INSTRUCTIONS = {
    "PUSH_EXC_INFO": "enters a context or handles exceptions",
    "SETUP_WITH": "enters a context",
    "SETUP_FINALLY": "handles exceptions",
    "STORE_ATTR": "sets an attribute",
    "DELETE_ATTR": "deletes an attribute",
    "STORE_GLOBAL": "sets a global variable",
    "DELETE_GLOBAL": "deletes a global variable",
    "IMPORT_NAME": "imports",
}
_REFUSED_BUILTINS = frozenset({"type", "print", "id", "next", "input", "open", "vars", "globals", "exec", "eval"})
# Questions whose answer the fused code would keep, and contexts entered by hand.
_REFUSED_NAMES = frozenset(
    {
        "__enter__", "enter_context", "is_grad_enabled", "is_inference_mode_enabled", "is_autocast_enabled",
        "get_autocast_dtype", "is_compiling", "is_dynamo_compiling", "is_exporting", "is_tracing", "is_in_onnx_export",
        "set_grad_enabled", "set_autocast_enabled", "manual_seed", "get_num_threads",
    }
)  # fmt: skip
_REFUSED_MODULES = frozenset({"time", "datetime", "os", "sys", "logging", "warnings", "threading", "uuid", "secrets"})


def foreign(code: types.CodeType) -> bool:
    """Whether ``code`` is the user's, neither torch's nor that which traces it."""
    return not code.co_filename.startswith((_TORCH, _TAMIS_NN))


def wraps_a_state(code: types.CodeType) -> bool:
    """Whether ``code`` is a part of torch that may call others in another state than its own caller's."""
    return code.co_filename.startswith(_TORCH) and not code.co_filename.startswith(_HAND_ON)


def look_at(code: types.CodeType, namespace: dict[str, Any]) -> Names:
    """The names in ``code`` and in the functions inside it.

    Args:
        code: what is called.
        namespace: its global variables.

    Raises:
        Refused: the code does what a trace does not show.
    """
    named: dict[str, set[str]] = {"global": set(), "attribute": set()}
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in _REFUSED_INSTRUCTIONS:
            raise Refused(_REFUSED_INSTRUCTIONS[name])
        if name == "STORE_DEREF" and instruction.argval in code.co_freevars:
            raise Refused(f"sets {instruction.argval}, a variable of the function around it")
        if name in ("LOAD_GLOBAL", "LOAD_NAME"):
            named["global"].add(instruction.argval)
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            named["attribute"].add(instruction.argval)
    for name in named["global"] | named["attribute"]:
        if name in _REFUSED_NAMES:
            raise Refused(f"calls {name}")
    for name in named["global"]:
        value = namespace.get(name)
        if name in _REFUSED_BUILTINS and name not in namespace:
            raise Refused(f"calls {name}")
        if isinstance(value, types.ModuleType) and value.__name__ in _REFUSED_MODULES:
            raise Refused(f"uses the module {value.__name__}")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = look_at(constant, namespace)
            named["global"] |= inner.globals
            named["attribute"] |= inner.attributes
    return Names(frozenset(named["global"]), frozenset(named["attribute"]))
