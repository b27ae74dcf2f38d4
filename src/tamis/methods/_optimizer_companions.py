"""Scalars that a method trains beside a weight, in the weight's own optimizer group.

A new group would break learning-rate schedulers that exist already: torch checks that the number of groups is theirs.
In the weight's group a scalar has the same learning rate, weight decay and momentum at every step.
"""

from __future__ import annotations

import torch
from torch import nn, optim

from tamis.errors import UsageError
from tamis.methods._optimizer_state import initial_value


def add_companion(optimizer: optim.Optimizer, weight: nn.Parameter, scalar: nn.Parameter, name: str) -> None:
    """Let ``optimizer`` train ``scalar`` in the group of ``weight``.

    Args:
        optimizer: any torch optimizer that can train a scalar.
        weight: a parameter of one of its groups.
        scalar: a parameter that is in no group yet.
        name: for groups that were built from named parameters.

    Raises:
        UsageError: the weight is in no group, or the optimizer trains matrices only.
    """
    muon = getattr(optim, "Muon", None)
    if muon is not None and isinstance(optimizer, muon):
        raise UsageError(f"Muon trains matrices only, but {name} is a scalar; use another optimizer")
    for group in optimizer.param_groups:
        if any(parameter is weight for parameter in group["params"]):
            group["params"].append(scalar)
            if "param_names" in group:
                group["param_names"].append(name)
            if isinstance(optimizer, optim.Adagrad):  # makes its state when it is built, not at the first step
                start = initial_value(optimizer, weight, "sum")
                optimizer.state[scalar] = {"step": torch.tensor(0.0), "sum": torch.full_like(scalar.detach(), start)}
            return
    raise UsageError(
        f"this {type(optimizer).__name__} does not train the weight beside {name}; exclude that layer, or give the "
        "optimizer its weight"
    )


def remove_companion(optimizer: optim.Optimizer, scalar: nn.Parameter) -> None:
    """Undo :func:`add_companion`; nothing happens if the scalar is in no group."""
    for group in optimizer.param_groups:
        for i, parameter in enumerate(group["params"]):
            if parameter is scalar:
                del group["params"][i]
                if "param_names" in group:
                    del group["param_names"][i]
                break
    optimizer.state.pop(scalar, None)
