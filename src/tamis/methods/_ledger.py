"""The FLOPs ledger of one run: layer costs measured on an example, multiplied by what was really trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.nn import is_packed, prunable_modules
from tamis.sparsity import LayerCost, forward_flops, forward_fraction, measured_cost

# Cost of a forward pass with so many live weights by layer, as a fraction of the dense one.
ForwardFraction = Callable[[Mapping[str, int]], float]
# (row of the history, its live or non-zero counts, dense counts) -> (share of the row's steps, weights that get a
# gradient in them by layer); the shares sum to 1.
GradientSupports = Callable[
    [Mapping[str, Any], Mapping[str, int], Mapping[str, int]], list[tuple[float, Mapping[str, int]]]
]
PublishedCost = Callable[[Mapping[str, int], ForwardFraction], float | None]


def _as_sparse_as_the_weights(
    row: Mapping[str, Any], counts: Mapping[str, int], total: Mapping[str, int]
) -> list[tuple[float, Mapping[str, int]]]:
    return [(1.0, counts)]


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
    gradients: GradientSupports = _as_sparse_as_the_weights,
    published: PublishedCost | None = None,
) -> list[dict[str, Any]]:
    """FLOPs per sample of inference and of the training so far, against the dense model.

    Convolutions and linear layers only, 1 MAC = 2 FLOPs.  A training step costs two passes with the live weights
    (forward, gradient of the input) and one with the weights that get a gradient.  Layers that no sparsifier governs
    count as dense.

    Args:
        model: the attached model.
        example: one input batch.
        history: rows of :class:`~tamis.methods._history.History`.
        live: live weights by layer of the last mask change; layers that it does not name are dense.
        gradients: which weights get a gradient during a row of the history; those of the forward pass by default.
        published: the method's published rule for the cost of its training, if it has one.

    Returns:
        Rows with ``row``, ``count`` (``"mask"``: weights that may live; ``"nonzero"``: weights that are not exactly
        zero at the end of each interval, as the published AC/DC code counts; ``"published"``: the published rule at the
        live weights of the last mask change), ``flops`` per sample, ``dense_flops`` (the denominator) and ``fraction``.
    """
    costs = measure_layer_costs(model, example)
    total = {cost.name: cost.weights for cost in costs}
    dense = forward_flops(costs)

    def fraction(counts: Mapping[str, int]) -> float:
        return forward_fraction(costs, {name: count for name, count in counts.items() if name in total})

    rows = [_row("forward", "mask", fraction(live), dense)]
    for count, key in (("mask", "live"), ("nonzero", "nonzero")):
        stretches = []
        for row in history:
            backward = sum(share * fraction(counts) for share, counts in gradients(row, row[key], total))
            stretches.append((row["end"] - row["start"], (2.0 * fraction(row[key]) + backward) / 3.0))
        if stretches:
            rows.append(_row("training", count, measured_cost(stretches), 3 * dense))
    cost = published(live, fraction) if published is not None else None
    if cost is not None:
        rows.append(_row("training", "published", cost, 3 * dense))
    return rows


def _row(row: str, count: str, fraction: float, dense: int) -> dict[str, Any]:
    flops = math.floor(fraction * dense + 0.5)
    return {"row": row, "count": count, "flops": flops, "dense_flops": dense, "fraction": fraction}
