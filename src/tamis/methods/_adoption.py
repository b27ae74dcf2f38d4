"""Taking charge of a model and an optimizer: checks, claims and hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from torch import nn, optim
from torch.nn.parallel import DistributedDataParallel

from tamis.errors import UsageError
from tamis.methods._due_change import DueChange
from tamis.methods._state_hooks import (
    claim,
    guard_optimizer_state,
    guard_support,
    let_go,
    listen,
    note_supports,
    show_dense_weight,
    tell_loaded,
)
from tamis.nn import Replicas, prunable_modules
from tamis.nn._owners import owners_of_another_kind


def plain_module(model: nn.Module) -> nn.Module:
    """The module that a data-parallel wrapper or ``torch.compile`` stands for; itself if it is neither."""
    if isinstance(model, Replicas | DistributedDataParallel):
        model = model.module
    return getattr(model, "_orig_mod", model)


def governed_layers(
    model: nn.Module, include: str | Collection[str] | None, exclude: str | Collection[str]
) -> dict[str, Any]:
    """The layers that a method takes charge of; arguments and result as of :func:`tamis.nn.prunable_modules`.

    Without ``include``, a weight that is also that of another kind of module, such as an embedding, is left dense.

    Raises:
        UsageError: nothing is left to prune.

    Warns:
        UserWarning: a shared weight is left dense and not excluded.
    """
    layers = prunable_modules(model, include, exclude)
    if not layers:
        everything = list(prunable_modules(model))
        if everything:
            raise UsageError(
                f"include={include!r} and exclude={exclude!r} leave none of the prunable layers {everything}"
            )
        raise UsageError(f"{type(model).__name__} has no Linear, Conv1d or Conv2d layer to prune")
    shared = owners_of_another_kind(model, layers) if include is None else {}
    if shared:
        pairs = ", ".join(f"{name} with {owner}" for name, owner in shared.items())
        text = (
            f"not pruned, because they share their weight with another kind of module: {pairs}; exclude them to say "
            "that they should stay dense, or prune them by an include that matches them, such as include='*'"
        )
        if len(shared) == len(layers):
            raise UsageError(f"{type(model).__name__} has no other layer to prune; {text}")
        warnings.warn(f"these layers are {text}", UserWarning, stacklevel=3)
    return {name: layer for name, layer in layers.items() if name not in shared}


def check_optimizer(model: nn.Module, layers: Mapping[str, Any], optimizer: optim.Optimizer) -> None:
    """UsageError if somebody else may train a weight that masks are put on.

    Frozen weights need no optimizer: nothing moves them.
    """
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
        raise UsageError(f"this {type(optimizer).__name__} holds no parameter of the model; build it from this model")
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    others = [name for name, layer in layers.items() if layer.weight.requires_grad and id(layer.weight) not in trained]
    if others:
        raise UsageError(
            f"this {type(optimizer).__name__} does not train the weights of {', '.join(others)}, so nothing would keep "
            "their zeros: exclude these layers, freeze them (requires_grad_(False)), or put all weights into one "
            "optimizer"
        )


def claim_all(layers: Mapping[str, nn.Module]) -> None:
    """Claim every layer or none; UsageError if another sparsifier governs one."""
    claimed: list[nn.Module] = []
    try:
        for name, layer in layers.items():
            claim(layer, name)
            claimed.append(layer)
    except UsageError:
        for layer in claimed:
            let_go(layer)
        raise


def register_hooks(
    model: nn.Module,
    layers: Mapping[str, Any],
    optimizer: optim.Optimizer,
    before_step: Callable[..., Any],
    after_step: Callable[..., None],
    due: DueChange,
) -> list[Any]:
    """Hook the optimizer's step and everything that saves or loads; returns handles with ``remove()``.

    ``due`` is told when model or optimizer have loaded a state_dict.
    """
    listen(model, due)
    owners = {layer.weight: (name, layer) for name, layer in layers.items()}
    return [
        optimizer.register_step_pre_hook(before_step),
        optimizer.register_step_post_hook(after_step),
        optimizer.register_state_dict_post_hook(partial(note_supports, owners)),
        optimizer.register_load_state_dict_pre_hook(partial(guard_optimizer_state, owners)),
        optimizer.register_load_state_dict_post_hook(lambda _: due.loaded("optimizer")),
        model.register_load_state_dict_pre_hook(guard_support),
        model.register_load_state_dict_post_hook(tell_loaded),
        *(layer.register_state_dict_post_hook(show_dense_weight) for layer in layers.values()),
    ]


def with_closure(
    args: tuple[Any, ...], kwargs: dict[str, Any], before: Callable[[], None], after: Callable[[], None]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Arguments of ``optimizer.step`` whose closure runs between ``before`` and ``after``; None without a closure.

    A closure computes gradients inside the step, once or (LBFGS) several times, where a hook before the step comes too
    early to see them.
    """
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    if not callable(closure):
        return None

    def watched_closure() -> Any:
        before()
        loss = closure()
        after()
        return loss

    if "closure" in kwargs:
        return args, {**kwargs, "closure": watched_closure}
    return (args[0], watched_closure, *args[2:]), kwargs
