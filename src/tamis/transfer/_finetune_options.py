"""Choices of full fine-tuning; no torch, so that the command line is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tamis.errors import UsageError
from tamis.train import Optimizer
from tamis.transfer._schedule import Shape

PAPER_RATES = {"aircraft": 0.01, "cars": 0.01}
_PAPER_RATE = 0.001


@dataclass(frozen=True)
class FineTuneOptions:
    """Training of the whole network with its zeros fixed; everything but the pruned weights trains."""

    optimizer: Optimizer = Optimizer(lr=0.01)  # noqa: RUF009 - frozen
    """The rule and its constants; lr is what the schedule starts from."""
    epochs: int = 20
    """Passes over the training images."""
    batch_size: int = 64
    """Images of an optimizer step; a remainder of one image joins the batch before."""
    schedule: Shape = "thirds"
    """thirds (the rate, a tenth, a hundredth), paper (the same with the study's late drops), cosine or constant."""
    rates: tuple[float, ...] = ()
    """Learning rates to choose from on the validation images, each with a full-length run; none: optimizer.lr."""
    validate: bool = False
    """Hold the validation images out of the training and report the epoch that is best on them, too."""
    clip_norm: float = 0.0
    """Largest norm of all gradients, those of pruned weights not counted; 0 does not clip."""
    ema_decay: float = 0.0
    """Decay of an exponential average of the weights, which is then evaluated and kept; 0: no average."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over the classes."""
    packed: Literal["auto", "always", "never"] = "auto"
    """Run sparse layers on the sparse kernels where worth it, always, or never."""
    paper_best_test: bool = False
    """Also report the epoch with the best test accuracy, as the study's code did; such rows are labelled."""
    checkpoint_every: int = 1
    """Epochs between two checkpoints."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} = {getattr(self, name)}: expected at least 1")
        if self.batch_size < 2:
            raise UsageError("batch_size = 1: batch normalisation cannot train on one image; expected at least 2")
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"ema_decay = {self.ema_decay}: expected 0 <= ema_decay < 1")
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"label_smoothing = {self.label_smoothing}: expected 0 <= label_smoothing < 1")
        if self.clip_norm < 0:
            raise UsageError(f"clip_norm = {self.clip_norm}: expected at least 0")
        if any(rate <= 0 for rate in self.rates) or len(set(self.rates)) != len(self.rates):
            raise UsageError(f"rates = {self.rates}: expected different learning rates above 0")


def paper_options(task: str) -> FineTuneOptions:
    """The published recipe for a task: SGD, batch 64, 150 epochs, lr .001 (aircraft and cars .01)."""
    return FineTuneOptions(
        optimizer=Optimizer(lr=PAPER_RATES.get(task, _PAPER_RATE)), epochs=150, schedule="paper", paper_best_test=True
    )
