"""Which layers methods prune, and which of them can be stored packed, or are worth it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.nn._computed_weight import how_to_store
from tamis.nn._layers import DENSE_OF, SPARSE_OF
from tamis.nn._owners import PRUNABLE, owners_by_parameter


def is_packed(module: nn.Module) -> bool:
    """Whether ``module`` stores only its live weights."""
    return type(module) in DENSE_OF


def prunable_modules(
    model: nn.Module, include: str | Collection[str] | None = None, exclude: str | Collection[str] = ()
) -> dict[str, Any]:
    """The layers whose weights methods prune: Linear, Conv1d and Conv2d, dense or packed; never norms or biases.

    Args:
        model: any module.
        include: glob patterns of module names (``"layer*.conv?"``); None takes all.
        exclude: glob patterns of module names to leave out.

    Returns:
        Module by name in registration order.  A weight that several layers share appears once, under its first name; a
        pattern may match any of them, and one of ``exclude`` also another kind of module that has this weight, such as
        an embedding.  Methods leave such a weight dense unless they are given ``include``.

    Raises:
        UsageError: a pattern matches no prunable layer.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        weight = module._parameters.get("weight")
        if isinstance(module, PRUNABLE) and weight is not None and id(weight) not in seen:
            seen.add(id(weight))
            found[name] = module
    owners = owners_by_parameter(model)
    shared = {name: owners[id(module._parameters["weight"])] for name, module in found.items()}
    layers = {name: [n for n, owner in by.items() if isinstance(owner, PRUNABLE)] for name, by in shared.items()}
    kept = _matching(layers, include) if include is not None else set(found)
    kept -= _matching(shared, exclude)
    return {name: module for name, module in found.items() if name in kept}


def can_pack(module: nn.Module, within: nn.Module | None = None) -> bool:
    """Whether ``module`` can run packed: exactly a Linear, Conv1d or Conv2d (or its packed form), float32, on the CPU.

    Subclasses may use their weight in other ways and stay masked.  With ``within`` (the whole model), a weight that
    another module shares stays masked too.
    """
    return not packing_obstacle(module, within)


def packing_obstacle(module: nn.Module, within: nn.Module | None = None) -> str:
    """Why a layer cannot run packed, as the end of a sentence; empty if it can."""
    weight = module._parameters.get("weight")
    if weight is None and (call := how_to_store(module)):
        return f"its weight is computed from others: make it a parameter again with {call}"
    if weight is None or (type(module) not in SPARSE_OF and not is_packed(module)):
        return f"it is a {type(module).__name__}, not exactly a Linear, Conv1d or Conv2d with a weight of its own"
    if weight.device.type != "cpu":
        return f"it is on {weight.device}, and the kernels are for the CPU: move the model there with model.cpu()"
    if weight.dtype != torch.float32:
        return f"it is {weight.dtype}, and the kernels are for float32: convert the model with model.float()"
    if within is None:
        return ""
    owners = Counter(id(p) for m in within.modules() for p in m._parameters.values() if p is not None)
    return "" if owners[id(weight)] == 1 else "another layer shares its weight"


def worth_packing(mask: Tensor) -> bool:
    """Whether a layer with this ``mask`` (bool, of the weight's shape) should run packed during training.

    It should have live weights, at least half zeros (each live weight takes 8 bytes packed, 4 for its place), and 4096
    weights or more: a smaller layer takes less time to compute, at any sparsity, than its packed form takes to call.
    """
    live = int(mask.sum())
    return mask.numel() >= 4096 and 0 < 2 * live <= mask.numel()


def _matching(names: Mapping[str, Collection[str]], patterns: str | Collection[str]) -> set[str]:
    """The keys of ``names`` one of whose names each pattern matches."""
    matched: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        hits = {layer for layer, aliases in names.items() if any(fnmatchcase(name, pattern) for name in aliases)}
        if not hits:
            raise UsageError(f"no prunable layer matches {pattern!r}; this model has {sorted(chain(*names.values()))}")
        matched |= hits
    return matched
