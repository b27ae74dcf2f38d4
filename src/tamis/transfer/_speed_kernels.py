"""Which kernel every layer of a measured network ran on, and why."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tamis.kernels import choices
from tamis.nn import can_pack, is_packed, prunable_modules


@dataclass(frozen=True)
class LayerKernel:
    """Which kernel a layer ran on and why; times are what the chooser measured for one call, forward and backward."""

    layer: str
    sparsity: float
    kernel: str
    why: str
    dense_ms: float | None
    sparse_ms: float | None


def layer_kernels(model: nn.Module, masks: Mapping[str, Tensor], head: str, batch_size: int) -> list[LayerKernel]:
    """One row for each convolution and linear layer but the head: its kernel, and why it is that one."""
    rows = []
    for name, layer in prunable_modules(model).items():
        if name == head:
            continue
        mask = masks.get(name)
        sparsity = 0.0 if mask is None else 1.0 - int(mask.sum()) / mask.numel()
        if mask is None:
            rows.append(LayerKernel(name, 0.0, "dense", "the layer is dense", None, None))
        elif not is_packed(layer):
            rows.append(LayerKernel(name, sparsity, "dense, masked", _why_masked(layer, mask), None, None))
        else:
            rows.append(_packed_row(name, sparsity, choices.table_of(layer.pattern, batch_size)))
    return rows


def _why_masked(layer: nn.Module, mask: Tensor) -> str:
    if not can_pack(layer):
        return "no float32 CPU layer that can be packed"
    if mask.numel() < 4096:
        return f"only {mask.numel()} weights: calling the sparse kernel costs more than the layer"
    if 2 * int(mask.sum()) > mask.numel():
        return "fewer than half of the weights are zero"
    return "no weight lives" if not bool(mask.any()) else "packing was switched off or the optimizer mixes weights"


def _packed_row(name: str, sparsity: float, decisions: list[dict[str, Any]]) -> LayerKernel:
    if not decisions:
        return LayerKernel(
            name, sparsity, "sparse", f"kernels are not chosen by measurement ({choices.mode})", None, None
        )
    uses, dense_ms, sparse_ms = [], 0.0, 0.0
    for direction in ("forward", "grad_input", "grad_weight"):
        own = [row for row in decisions if row["direction"] == direction]
        if own:
            uses.append(f"{direction} {own[0]['use']}")
            dense_ms += statistics.mean(row["dense_ms"] for row in own)
            sparse_ms += statistics.mean(row["sparse_ms"] for row in own)
    kinds = {use.split()[1] for use in uses}
    return LayerKernel(
        name,
        sparsity,
        kinds.pop() if len(kinds) == 1 else ", ".join(uses),
        "measured faster at first use",
        round(dense_ms, 4),
        round(sparse_ms, 4),
    )
