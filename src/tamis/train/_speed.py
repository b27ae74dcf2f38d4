"""One training step measured twice: the pruned model dense in plain torch, and packed on the sparse kernels."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamis.nn import densify, sparsify, worth_packing
from tamis.train._learning_rate import build_optimizer
from tamis.train._recipe import Optimizer
from tamis.train._timing import StepClock


@dataclass(frozen=True)
class StepSpeed:
    """Median milliseconds of one training step (forward, loss, backward, optimizer) on one batch.

    CPU time adds up all threads; wall time is what a user waits.
    """

    dense_cpu_ms: float
    sparse_cpu_ms: float
    dense_wall_ms: float
    sparse_wall_ms: float
    batch_size: int
    threads: int
    steps: int

    def row(self) -> dict[str, Any]:
        """The row of metrics.jsonl."""
        return {"kind": "speed", "what": "training step", **asdict(self)}


def measure_step(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    optimizer: Optimizer,
    *,
    steps: int = 30,
    warmup: int = 5,
) -> StepSpeed:
    """Time training steps of two copies of a pruned model; the model itself is not touched.

    The two copies take turns, so that a disturbance of the machine hits both.  The packed copy has the
    layers packed that training packs, and lets the kernels' measured choice decide layer by layer.

    Args:
        model: the pruned model, packed or dense.
        masks: bool mask by layer name.
        images: one training batch, float32 (N, C, H, W).
        labels: int64 (N,).
        optimizer: options of the optimizer whose step is part of the measurement.
        steps: timed steps of each copy.
        warmup: untimed steps of each copy before them.
    """
    dense = densify(copy.deepcopy(model)).train()
    worth = {name: mask for name, mask in masks.items() if worth_packing(mask)}
    packed = sparsify(copy.deepcopy(dense), worth, minimum_sparsity=1.0)
    contestants = [(copy_, build_optimizer(optimizer, copy_.parameters()), StepClock()) for copy_ in (dense, packed)]
    for number in range(warmup + steps):
        for network, rule, clock in contestants:
            with (clock if number >= warmup else StepClock()).step():
                rule.zero_grad()
                F.cross_entropy(network(images), labels).backward()
                rule.step()
    (_, _, d), (_, _, s) = contestants
    return StepSpeed(
        dense_cpu_ms=round(d.median_cpu_ms or 0.0, 4),
        sparse_cpu_ms=round(s.median_cpu_ms or 0.0, 4),
        dense_wall_ms=round(d.median_wall_ms or 0.0, 4),
        sparse_wall_ms=round(s.median_wall_ms or 0.0, 4),
        batch_size=len(labels),
        threads=torch.get_num_threads(),
        steps=steps,
    )
