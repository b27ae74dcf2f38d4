"""Dense against sparse, phase by phase: both take turns in one process, so that a busy machine slows both.

Phases: ``extract`` (frozen body in eval mode), ``head`` (the classifier alone
forward and backward, on features), ``forward``,
``backward``, ``mask`` (zeroing gradients of pruned weights) and ``step`` (optimizer, with the hooks that zero weights).
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.nn import densify, sparsify, worth_packing
from tamis.train import Optimizer
from tamis.transfer._finetune_options import FineTuneOptions
from tamis.transfer._finetune_state import FineTuning
from tamis.transfer._speed_kernels import LayerKernel, layer_kernels
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform
from tamis.transfer._zoo import Backbone, head_name

TRAINING = ("forward", "backward", "mask", "step")
_BATCH = 64


@dataclass(frozen=True)
class PhaseSpeed:
    """Times of one phase for one batch: medians in milliseconds (CPU time of all threads, and wall time).

    ``speedup`` is the median of the turns' dense / sparse wall times; ``speedup_low`` and ``speedup_high`` are the
    smallest and the largest; ``cpu_speedup`` is the ratio of the median CPU times, which other work on the machine
    disturbs least.  None where dense training has no such phase.
    """

    phase: str
    dense_cpu_ms: float
    sparse_cpu_ms: float
    dense_wall_ms: float
    sparse_wall_ms: float
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    cpu_speedup: float | None
    repeats: int


@dataclass(frozen=True)
class SpeedReport:
    """Phases, and sums ``linear`` (extract) and ``full`` (forward to step), with the layers' kernels."""

    phases: tuple[PhaseSpeed, ...]
    layers: tuple[LayerKernel, ...]
    batch_size: int
    threads: int

    def phase(self, name: str) -> PhaseSpeed:
        """The row of one phase; UsageError if it was not measured."""
        for row in self.phases:
            if row.phase == name:
                return row
        raise UsageError(f"phase {name!r} was not measured; there are {', '.join(row.phase for row in self.phases)}")

    def summary(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "batch_size": self.batch_size,
            "threads": self.threads,
            "phases": [asdict(row) for row in self.phases],
            "layers": [asdict(row) for row in self.layers],
        }


class _Contestant:
    """One network and the times of its phases, turn by turn."""

    def __init__(self, body: nn.Module, run: FineTuning) -> None:
        self.body, self.run = body, run
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def time(self, phase: str, work: Callable[[], Any], keep: bool) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if keep:
            self.wall.setdefault(phase, []).append(wall)
            self.cpu.setdefault(phase, []).append(cpu)
        return result


def measure_speed(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    head: str = "",
    optimizer: Optimizer = Optimizer(lr=1e-3),  # noqa: B008 - frozen
    full: bool = True,
    repeats: int = 5,
    warmup: int = 2,
) -> SpeedReport:
    """Time dense and sparse copies of a network on one batch, in turns.

    The dense copy has the same weights, zeros included, in plain torch.  The sparse copy is what features are extracted
    with and what :func:`fine_tune` trains: layers that are worth it packed, the rest masked, norms fused.

    Args:
        model: the network; not touched.
        masks: bool mask by layer name.
        images: float32 (N, C, H, W), one batch.
        labels: int64 (N,).
        head: name of the classifier; the last Linear if empty.
        optimizer: whose step is part of the measurement.
        full: also measure a whole training step; otherwise the head alone is trained.
        repeats: timed turns, at least 5.
        warmup: untimed turns before.

    Raises:
        UsageError: fewer than 5 repeats, or no masks.
    """
    if repeats < 5 or warmup < 1:
        raise UsageError(f"repeats {repeats}, warmup {warmup}: expected at least 5 and at least 1")
    if not masks:
        raise UsageError("the network is dense: there are no masks to compare with")
    classifier = head or head_name(model)
    dense, sparse = (_contestant(model, own, classifier, optimizer) for own in ({}, masks))
    for turn in range(warmup + repeats):
        # who goes first changes, so that what the first leaves in the caches helps neither
        for contestant in (dense, sparse) if turn % 2 == 0 else (sparse, dense):
            _turn(contestant, images, labels, classifier, full, turn >= warmup)
    names = ["extract", "head", *(TRAINING if full else ())]
    phases = [_row(name, [name], dense, sparse, repeats) for name in names]
    phases.append(_row("linear", ["extract"], dense, sparse, repeats))
    if full:
        phases.append(_row("full", TRAINING, dense, sparse, repeats))
    layers = layer_kernels(sparse.run.model if full else sparse.body, masks, classifier, len(labels))
    for contestant in (dense, sparse):
        contestant.run.finish()
    return SpeedReport(tuple(phases), tuple(layers), len(labels), torch.get_num_threads())


def speed_on_task(
    backbone: Backbone, task: Task, transform: Transform, *, optimizer: Optimizer, full: bool, repeats: int = 5
) -> SpeedReport:
    """:func:`measure_speed` of a backbone on the first 64 training images of a task, or all if there are fewer."""
    rows = torch.arange(min(_BATCH, task.n_train))
    images, labels = transform.test(task.train.take(rows)), task.labels("train")[rows]
    print(f"measuring dense and sparse in turns, {repeats} times", file=sys.stderr)
    return measure_speed(
        backbone.model,
        backbone.masks,
        images,
        labels,
        head=backbone.head,
        optimizer=optimizer,
        full=full,
        repeats=repeats,
    )


def _contestant(model: nn.Module, masks: Mapping[str, Tensor], head: str, optimizer: Optimizer) -> _Contestant:
    body = densify(copy.deepcopy(model))
    parent, _, leaf = head.rpartition(".")
    setattr(body.get_submodule(parent), leaf, nn.Identity())
    if masks:
        worth = {name: mask for name, mask in masks.items() if worth_packing(mask)}
        body = sparsify(body, worth, minimum_sparsity=1.0)
    run = FineTuning(densify(copy.deepcopy(model)), masks, head, FineTuneOptions(optimizer=optimizer))
    run.model.train()
    return _Contestant(body.eval(), run)


def _turn(on: _Contestant, images: Tensor, labels: Tensor, head: str, full: bool, keep: bool) -> None:
    with torch.no_grad():
        features = on.time("extract", lambda: on.body(images), keep)
    classifier: Any = on.run.model.get_submodule(head)
    count = classifier.out_features

    def head_step() -> None:
        loss = F.cross_entropy(classifier(features), labels % count)
        loss.backward()
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.grad = None

    on.time("head", head_step, keep)
    if not full:
        return
    run = on.run
    logits = on.time("forward", lambda: run.model(images), keep)
    loss = F.cross_entropy(logits, labels % count)
    run.optimizer.zero_grad()
    on.time("backward", loss.backward, keep)
    on.time("mask", lambda: run.sparsifier.mask_gradients() if run.sparsifier is not None else None, keep)
    on.time("step", run.optimizer.step, keep)


def _row(name: str, parts: Sequence[str], dense: _Contestant, sparse: _Contestant, repeats: int) -> PhaseSpeed:
    sums = {
        (who, kind): [sum(turn) for turn in zip(*(getattr(contestant, kind)[part] for part in parts), strict=True)]
        for who, contestant in (("dense", dense), ("sparse", sparse))
        for kind in ("wall", "cpu")
    }
    ratios = [d / s for d, s in zip(sums["dense", "wall"], sums["sparse", "wall"], strict=True) if s > 0]
    known = name != "mask" and bool(ratios)
    dense_cpu, sparse_cpu = _median_ms(sums["dense", "cpu"]), _median_ms(sums["sparse", "cpu"])
    return PhaseSpeed(
        phase=name,
        dense_cpu_ms=dense_cpu,
        sparse_cpu_ms=sparse_cpu,
        dense_wall_ms=_median_ms(sums["dense", "wall"]),
        sparse_wall_ms=_median_ms(sums["sparse", "wall"]),
        speedup=round(statistics.median(ratios), 4) if known else None,
        speedup_low=round(min(ratios), 4) if known else None,
        speedup_high=round(max(ratios), 4) if known else None,
        cpu_speedup=round(dense_cpu / sparse_cpu, 4) if known and sparse_cpu else None,
        repeats=repeats,
    )


def _median_ms(seconds: list[float]) -> float:
    return round(1e3 * statistics.median(seconds), 4)
