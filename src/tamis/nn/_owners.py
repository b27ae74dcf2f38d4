"""Which modules own a parameter, under which names: one may be shared, and one module may have several names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d)


def owners_by_parameter(model: nn.Module) -> dict[int, dict[str, nn.Module]]:
    """Parameter's id -> every name of every module that owns it -> the module."""
    owners: dict[int, dict[str, nn.Module]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), {})[name] = module
    return owners


def owners_of_another_kind(model: nn.Module, layers: Mapping[str, Any]) -> dict[str, str]:
    """The layers whose weight is also that of a module that is no Linear, Conv1d or Conv2d, such as an embedding.

    Returns:
        Layer name -> first name of such a module.
    """
    owners = owners_by_parameter(model)
    found: dict[str, str] = {}
    for name, layer in layers.items():
        others = [other for other, owner in owners[id(layer.weight)].items() if not isinstance(owner, PRUNABLE)]
        if others:
            found[name] = others[0]
    return found
