"""The rows of metrics.jsonl: one per epoch and one per mask change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tamis.nn import is_packed, prunable_modules
from tamis.train._evaluate import Evaluation, evaluate
from tamis.train._timing import StepClock

if TYPE_CHECKING:
    from tamis.train._run import Run


@dataclass(frozen=True)
class Observation:
    """The model at one moment: held-out numbers, and two fractions of the prunable weights.

    ``sparsity`` counts what the masks forbid, ``exact_zeros`` what is zero; in a dense phase the first is 0 and the
    second shows how many weights have really come back.
    """

    held_out: Evaluation
    sparsity: float
    exact_zeros: float


def look_at(run: Run) -> Observation:
    """Evaluate the present state of ``run`` on held-out data and count its zeros; all processes take part."""
    run.ranks.copy_buffers(run.model)
    held_out = evaluate(run.model, run.data, ranks=run.ranks)
    masks = run.sparsifier.masks if run.sparsifier is not None else {}
    total = sum(dense_size(layer) for layer in prunable_modules(run.model).values())
    forbidden = sum(mask.numel() - int(mask.sum()) for mask in masks.values())
    return Observation(held_out, forbidden / total if total else 0.0, exact_zeros(run.model))


def exact_zeros(model: nn.Module) -> float:
    """Share of the prunable weights that are exactly zero, packed layers included."""
    layers = list(prunable_modules(model).values())
    total = sum(dense_size(layer) for layer in layers)
    live = sum(int(torch.count_nonzero(layer.weight.detach())) for layer in layers)
    return 1.0 - live / total if total else 0.0


def dense_size(layer: Any) -> int:
    """Weights that a layer has when it is dense."""
    return layer.pattern.total if is_packed(layer) else layer.weight.numel()


def epoch_row(run: Run, phase: str, rate: float, seen: Observation, clock: StepClock) -> dict[str, Any]:
    """The row of the epoch that has just ended; losses in nats, accuracies and zeros as shares, times of its steps."""
    progress, totals = run.progress, run.progress.totals
    return {
        "kind": "epoch",
        "epoch": progress.epoch,
        "step": progress.step,
        "phase": phase,
        "train_loss": totals.loss / totals.samples,
        "train_accuracy": totals.correct / totals.samples,
        "test_loss": seen.held_out.loss,
        "test_accuracy": seen.held_out.accuracy,
        "sparsity": seen.sparsity,
        "exact_zeros": seen.exact_zeros,
        "lr": rate,
        "cpu_s": clock.cpu_s,
        "wall_s": clock.wall_s,
        "step_cpu_ms": clock.median_cpu_ms,
        "timed_steps": clock.steps,
        "samples": progress.samples,
    }


def new_mask_rows(run: Run) -> Iterator[dict[str, Any]]:
    """One row per mask change since the last call."""
    if run.sparsifier is None:
        return
    events = run.sparsifier.events
    for event in events[run.progress.events_logged :]:
        yield {"kind": "mask", "epoch": event["step"] / run.steps_per_epoch, **event}
    run.progress.events_logged = len(events)
