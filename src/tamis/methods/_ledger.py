"""The FLOPs ledger of one run: layer costs measured on an example, multiplied by what was really trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.nn import is_packed, prunable_modules
from tamis.sparsity import LayerCost, forward_flops, forward_fraction, measured_cost, static_cost


@torch.no_grad()
def measure_layer_costs(model: nn.Module, example: Tensor) -> tuple[LayerCost, ...]:
    """Shape and output positions of every prunable layer, from one forward pass in evaluation mode.

    Args:
        model: any module; its training mode is restored.
        example: one input batch ``(N, ...)``; positions are counted per sample.

    Returns:
        One :class:`tamis.sparsity.LayerCost` per prunable layer that the example reached, in registration order.  A
        layer that is called several times has the sum of its positions.

    Raises:
        UsageError: the batch is empty.
    """
    samples = example.shape[0] if example.dim() else 0
    if samples == 0:
        raise UsageError(f"expected a batch with at least one sample, got shape {tuple(example.shape)}")
    layers = prunable_modules(model)
    positions = dict.fromkeys(layers, 0)

    def count(name: str) -> Any:
        def hook(layer: Any, inputs: Any, output: Tensor) -> None:
            outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
            positions[name] += output.numel() // outputs // samples

        return hook

    handles = [layer.register_forward_hook(count(name)) for name, layer in layers.items()]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        model(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return tuple(
        LayerCost(name, layer.pattern.shape if is_packed(layer) else tuple(layer.weight.shape), positions[name])
        for name, layer in layers.items()
        if positions[name]
    )


def ledger_rows(
    model: nn.Module,
    example: Tensor,
    history: Sequence[Mapping[str, Any]],
    live: Mapping[str, int],
    training_cost: Callable[[float], float] = static_cost,
) -> list[dict[str, Any]]:
    """FLOPs per sample of inference and of the training so far, against the dense model.

    Convolutions and linear layers only, 1 MAC = 2 FLOPs, a dense training step costs three forward passes.  Layers that
    no sparsifier governs count as dense.

    Args:
        model: the attached model.
        example: one input batch.
        history: rows of :class:`~tamis.methods._history.History`.
        live: live weights by layer of the last mask change; layers that it does not name are dense.
        training_cost: the method's rule: the cost of a training step as a share of a dense one, from the share that
            its forward pass costs; by default the same share, for gradients of live weights alone.

    Returns:
        Rows with ``row``, ``count`` (``"mask"``: weights that may live; ``"nonzero"``: weights that are not exactly
        zero at the end of each interval, as the published AC/DC code counts), ``flops`` per sample, ``dense_flops``
        (the denominator) and ``fraction``.
    """
    costs = measure_layer_costs(model, example)
    names = {cost.name for cost in costs}
    dense = forward_flops(costs)
    inference = {name: count for name, count in live.items() if name in names}
    rows = [_row("forward", "mask", forward_fraction(costs, inference), dense)]
    for count, key in (("mask", "live"), ("nonzero", "nonzero")):
        forwards = [forward_fraction(costs, {n: c for n, c in row[key].items() if n in names}) for row in history]
        stretches = [
            (row["end"] - row["start"], training_cost(forward)) for row, forward in zip(history, forwards, strict=True)
        ]
        if stretches:
            rows.append(_row("training", count, measured_cost(stretches), 3 * dense))
    return rows


def _row(row: str, count: str, fraction: float, dense: int) -> dict[str, Any]:
    flops = math.floor(fraction * dense + 0.5)
    return {"row": row, "count": count, "flops": flops, "dense_flops": dense, "fraction": fraction}
