"""A transfer run as frozen values: the single source of the command's flags and of ``recipe.toml``.  No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tamis.errors import UsageError
from tamis.transfer._finetune_options import FineTuneOptions, paper_options
from tamis.transfer._schedule import Shape
from tamis.transfer._zoo_style import MIN_ZERO_FRACTION


@dataclass(frozen=True)
class ProbeOptions:
    """The classifier on frozen features."""

    solver: Literal["lbfgs", "sgd"] = "lbfgs"
    """lbfgs: logistic regression, its regularisation chosen on validation; sgd: the study's fixed recipe."""
    grid_step: int = 1
    """lbfgs: take every so many-th of the 45 values of C."""
    standardise: bool = False
    """lbfgs: give features mean 0 and deviation 1, by the training images."""
    epochs: int = 150
    """sgd: passes over the features."""
    batch_size: int = 64
    """sgd: features of an optimizer step."""
    lr: float = 0.01
    """sgd: learning rate."""
    schedule: Shape = "paper"
    """sgd: paper drops the rate behind epochs 51 and 101 of 150, thirds behind 50 and 100."""
    validate: bool = False
    """sgd: hold the validation images out and report the epoch that is best on them, too."""
    paper_best_test: bool = False
    """sgd: also report the epoch with the best test accuracy, as the study's code did; such rows are labelled."""
    bn_refresh: int = 0
    """Passes over the training images that move the batch norms' statistics; 0 leaves them frozen."""

    def __post_init__(self) -> None:
        for name in ("grid_step", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"probe.{name} = {getattr(self, name)}: expected at least 1")
        if not self.lr > 0 or self.bn_refresh < 0:
            raise UsageError("probe: expected lr above 0 and bn_refresh of at least 0")


@dataclass(frozen=True)
class TransferRecipe:
    """One backbone on one task."""

    model: str = ""
    """Checkpoint of any style, or a run folder of tamis."""
    data: str = ""
    """Folder of images, .npz file, or the name of a task (tamis transfer tasks)."""
    root: str = "data"
    """Folder of the unpacked archives of known tasks."""
    how: Literal["linear", "full"] = "linear"
    """linear: a new head on frozen features; full: everything trains, zeros stay zero."""
    arch: str = "auto"
    """Network of the checkpoint; auto takes the file's word, or the one whose names and shapes agree."""
    metric: Literal["task", "top1", "mean_per_class"] = "task"
    """The accuracy that counts; both are stored."""
    method: str = ""
    """How the backbone was sparsified, for the results; the file's word if not given."""
    seed: int = 0
    """Of head, order and augmentation, together with the task's name."""
    size: int = 0
    """Side of the images in pixels; 0: that of the backbone."""
    norm: Literal["imagenet", "task"] = "imagenet"
    """Mean and deviation that images are normalised with; backbones for grey images always take the task's."""
    min_zero_fraction: float = MIN_ZERO_FRACTION
    """Share of exact zeros from which a layer without a mask counts as sparse."""
    style: str = ""
    """A .toml file with a checkpoint style of your own, which is tried too."""
    cache: str = ""
    """Folder of cached features; "features" beside the run folder if not given, "none" for no cache."""
    speed: bool = True
    """Measure the backbone dense and sparse in turns."""
    repeats: int = 5
    """Turns of that measurement."""
    probe: ProbeOptions = ProbeOptions()
    """Of linear: the classifier on frozen features."""
    finetune: FineTuneOptions = FineTuneOptions()  # noqa: RUF009 - frozen
    """Of full: training of the whole network with its zeros fixed."""

    def __post_init__(self) -> None:
        if self.seed < 0 or self.size < 0:
            raise UsageError(f"seed = {self.seed}, size = {self.size}: expected at least 0")
        if not 0 < self.min_zero_fraction <= 1:
            raise UsageError(f"min_zero_fraction = {self.min_zero_fraction}: expected 0 < share <= 1")
        if self.repeats < 5:
            raise UsageError(f"repeats = {self.repeats}: expected at least 5")


def paper_recipe(recipe: TransferRecipe, task: str) -> TransferRecipe:
    """The recipe with the published constants for a task: SGD for 150 epochs, late drops of the rate.

    Linear: ImageNet's statistics, lr .01.  Full: the task's statistics, lr .001, on aircraft and cars .01.
    """
    own = recipe.finetune
    # where a step runs and what is held out or stored are no constants of the study
    full = replace(paper_options(task), validate=own.validate, packed=own.packed, checkpoint_every=own.checkpoint_every)
    probe = replace(recipe.probe, solver="sgd", epochs=150, batch_size=64, lr=0.01, schedule="paper", bn_refresh=0)
    norm: Literal["imagenet", "task"] = "task" if recipe.how == "full" else "imagenet"
    return replace(recipe, norm=norm, probe=replace(probe, paper_best_test=True), finetune=full)
