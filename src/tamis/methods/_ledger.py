"""The FLOPs ledger of one run: layer costs measured on an example, multiplied by what was really trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.methods._step_times import time_row
from tamis.nn import is_packed, prunable_modules
from tamis.sparsity import LayerCost, dense_gradient_cost, forward_flops, forward_fraction, measured_cost, static_cost

# Cost of a forward pass with so many live weights by layer, as a share of the dense one.
ForwardFraction = Callable[[Mapping[str, int]], float]
PublishedCost = Callable[[Mapping[str, int], ForwardFraction], float | None]


@dataclass(frozen=True)
class Stretch:
    """One interval of the run, as the cost rule of a method sees it.

    Attributes:
        start: optimizer steps before it.
        end: optimizer steps after it.
        forward: cost of a forward pass of its weights, as a share of the dense one.
        trained: the same of the weights whose gradients are computed; ``forward`` where the method says nothing.
        row: the interval's row of :class:`~tamis.methods._history.History`.
    """

    start: int
    end: int
    forward: float
    trained: float
    row: Mapping[str, Any]


def masked_gradients_cost(stretch: Stretch) -> float:
    """``3 f_S``: the backward pass is as sparse as the forward pass."""
    return static_cost(stretch.forward)


def partly_dense_cost(forward: float, share: float) -> float:
    """``3 f_S``, but ``2 f_S + f_D`` in a ``share`` of the steps: those that compute dense gradients."""
    return share * dense_gradient_cost(forward) + (1.0 - share) * static_cost(forward)


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
    *,
    cost: Callable[[Stretch], float] = masked_gradients_cost,
    rule: str = "3 f(live)",
    published: PublishedCost = lambda live, fraction: None,
    times: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Cost of inference and of the training so far, against the dense model: FLOPs per sample, and measured time.

    FLOPs are those of convolutions and linear layers only, 1 MAC = 2 FLOPs.  Layers that no sparsifier governs count as
    dense.  A dense training step costs three forward passes, ``3 f_D``.

    Args:
        model: the attached model.
        example: one input batch.
        history: rows of :class:`~tamis.methods._history.History`.
        live: live weights by layer of the last mask change; layers that it does not name are dense.
        cost: the method's rule: cost of a training step of a stretch as a share of ``3 f_D``.
        rule: the same rule in words.
        published: the published rule for the method's whole training, if it has one.
        times: rows of :class:`~tamis.methods._step_times.StepTimes`.

    Returns:
        Rows with ``row`` (``"forward"`` or ``"training"``), ``count`` (``"mask"``: weights that may live;
        ``"nonzero"``: weights that are not exactly zero at the end of each interval, as the published AC/DC code
        counts; ``"published"``: the published rule at the live weights of the last mask change; ``"cpu time"`` and
        ``"wall time"``: measured), ``flops`` per sample, ``dense_flops``, ``fraction``, ``rule``, ``denominator`` (what
        ``fraction`` is relative to, in words) and ``seconds``.  FLOPs of measured rows
        and seconds of counted ones are None, and so is the fraction of time in a run without a dense phase.
    """
    costs = measure_layer_costs(model, example)
    names = {layer.name for layer in costs}
    dense = forward_flops(costs)

    def fraction(counts: Mapping[str, int]) -> float:
        return forward_fraction(costs, {name: count for name, count in counts.items() if name in names})

    rows = [_row("forward", "mask", fraction(live), dense, "f(live)", "the dense forward pass, per sample")]
    steps = sum(row["end"] - row["start"] for row in history)
    for count, key in (("mask", "live"), ("nonzero", "nonzero")):
        stretches = [
            Stretch(row["start"], row["end"], forward := fraction(row[key]), _trained(row, fraction, forward), row)
            for row in history
        ]
        if stretches:
            spent = measured_cost((stretch.end - stretch.start, cost(stretch)) for stretch in stretches)
            words = f"a dense training step, per sample, mean of {steps} steps"
            rows.append(_row("training", count, spent, 3 * dense, rule, words))
    whole = published(live, fraction)
    if whole is not None:
        rows.append(
            _row("training", "published", whole, 3 * dense, "as published", "a dense training step, per sample")
        )
    return rows + [row for clock in ("cpu", "wall") if (row := time_row(times, clock)) is not None]


def _trained(row: Mapping[str, Any], fraction: Callable[[Mapping[str, int]], float], forward: float) -> float:
    return fraction(row["trained"]) if "trained" in row else forward


def _row(row: str, count: str, fraction: float, dense: int, rule: str, denominator: str) -> dict[str, Any]:
    return {
        "row": row,
        "count": count,
        "flops": math.floor(fraction * dense + 0.5),
        "dense_flops": dense,
        "fraction": fraction,
        "rule": rule,
        "denominator": denominator,
        "seconds": None,
    }
