"""The state of one training run: what the loop advances, checkpoints store and a resume brings back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tamis.data import ImageData, load_data, normalise
from tamis.errors import FileError, UsageError
from tamis.methods import Levels, MemorisationProbe
from tamis.models import create_model
from tamis.nn import Replicas
from tamis.train._checkpoint import Checkpoint, load_method, load_weights, restore, save_checkpoint
from tamis.train._diary import Observation, look_at
from tamis.train._examples import training_examples
from tamis.train._learning_rate import build_optimizer
from tamis.train._method import build_sparsifier
from tamis.train._ranks import ALONE, Ranks
from tamis.train._recipe import Recipe
from tamis.train._recipe_toml import dump_recipe
from tamis.train._timing import StepClock


@dataclass
class EpochTotals:
    """Sums over the batches of the epoch so far; means are taken when it ends."""

    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    batches: int = 0


@dataclass
class Progress:
    """How far a run has come; plain JSON types, stored in every checkpoint.

    ``epoch`` is the 0-based epoch in progress and ``totals.batches`` how many of its batches are done.  ``best`` holds
    the best held-out accuracy of each kind of phase and its epoch: a record for the reader, no choice depends on it.
    ``log_bytes`` tells how much of metrics.jsonl belongs to this state.
    """

    epoch: int = 0
    step: int = 0
    samples: int = 0
    totals: EpochTotals = field(default_factory=EpochTotals)
    best: dict[str, dict[str, float]] = field(default_factory=dict)
    events_logged: int = 0
    log_bytes: int = 0


class Run:
    """Model, optimizer, sparsifier and data of one run, and how far it has come.

    Args:
        recipe: the choices; everything random follows from its seed.
        data: ready data.
        weights: a checkpoint whose weights replace the fresh ones.
        resume: the checkpoint that :meth:`restore` is about to bring back; the sparsifier then starts from its state.
        ranks: the processes that train together.

    Attributes:
        replicas: the model, in a job of several processes wrapped so that gradients are averaged.
        phase_end: the model as it was when the epoch's last step ended a phase, else None.
        clock: times of the steps of the epoch in progress.

    Raises:
        UsageError: parts of the recipe do not fit each other or the data.
        FileError: ``weights`` is of another architecture.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: ImageData,
        weights: Checkpoint | None = None,
        resume: Checkpoint | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.recipe = recipe
        self.ranks = ranks
        self.probe = _draw_probe(recipe, data)
        self.data = data if self.probe is None else replace(data, train_y=self.probe.relabel(data.train_y))
        self.steps_per_epoch = -(-len(data.train_x) // recipe.train.batch_size)
        self.progress = Progress()
        self.phase_end: Observation | None = None
        self.clock = StepClock()
        torch.manual_seed(recipe.train.seed)
        self.architecture = architecture_of(recipe, data)
        self.model: nn.Module = create_model(**self.architecture)
        if weights is not None:
            load_weights(self.model, weights)
        self.replicas: nn.Module = self.model if ranks.world == 1 else Replicas(self.model)
        self.optimizer = build_optimizer(recipe.optimizer, self.model.parameters())
        self.sparsifier = build_sparsifier(recipe, self.steps_per_epoch, training_examples(recipe, self.data))
        if self.sparsifier is not None:
            if resume is not None and resume.method is not None:
                load_method(resume, self.sparsifier)  # what is due at the first step is not done again
            self.sparsifier.attach(self.replicas, self.optimizer)
            self.sparsifier.before_change(self._keep_phase_end)

    @property
    def phase(self) -> str:
        """``dense`` or ``sparse``: which state of the model trains now."""
        return self.sparsifier.phase if self.sparsifier is not None else "dense"

    @property
    def schedule_epoch(self) -> int:
        """The epoch that the learning rate depends on: that of the run, or of a method's own schedule.

        Methods that rewind run the whole schedule of the recipe in every level, compressed to the level's length.
        """
        if not isinstance(self.sparsifier, Levels):
            return self.progress.epoch
        epochs = self.recipe.train.epochs
        return min(epochs - 1, self.sparsifier.schedule_step * epochs // self.sparsifier.schedule_steps)

    def _keep_phase_end(self, sparsifier: Any) -> None:
        # Called behind the last step of a phase, before that step is counted here.  Only where an epoch ends too is
        # there a row to write.  Methods that change masks in place of a step call this too late: the row is written.
        if sparsifier.step == self.progress.step + 1 and sparsifier.step % self.steps_per_epoch == 0:
            with self.clock.paused():
                self.phase_end = look_at(self)

    def end_epoch(self, phase: str, accuracy: float) -> None:
        """Go on to the next epoch and keep the record of the best held-out accuracy per phase."""
        progress = self.progress
        if accuracy > progress.best.get(phase, {"accuracy": -1.0})["accuracy"]:
            progress.best[phase] = {"accuracy": accuracy, "epoch": progress.epoch}
        progress.epoch += 1
        progress.totals = EpochTotals()
        self.phase_end = None

    def probe_rows(self) -> Iterator[dict[str, Any]]:
        """The row of the memorisation probe, if the recipe asks for one."""
        if self.probe is not None:
            images = normalise(self.data.train_x[self.probe.indices], self.data.mean, self.data.std)
            seen = replace(self.probe, indices=torch.arange(len(images))).measure(self.model, images)
            names = {f"{what}_{kind}": f"{kind}_{what}" for kind in ("random", "true") for what in ("loss", "accuracy")}
            row = {name: seen[key] for name, key in names.items()}
            yield {"kind": "probe", "epoch": self.progress.epoch, "step": self.progress.step, **row}

    def leave_job(self) -> None:
        """Let go of the process group, which is about to end; the model stays as it is."""
        if isinstance(self.replicas, Replicas):
            self.replicas.close()

    def save(self, path: Path) -> Path:
        """Write a checkpoint of this state."""
        return save_checkpoint(
            path,
            self.model,
            self.optimizer,
            self.sparsifier,
            method=self.recipe.method,
            sparsity=self.recipe.sparsity,
            recipe=dump_recipe(self.recipe),
            progress=asdict(self.progress),
            architecture=self.architecture,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from ``checkpoint``; FileError if it does not fit this run."""
        restore(checkpoint, self.model, self.optimizer, self.sparsifier)
        try:
            stored = dict(checkpoint.header["progress"])
            self.progress = Progress(**{**stored, "totals": EpochTotals(**stored["totals"])})
        except (KeyError, TypeError) as error:
            raise FileError(f"{checkpoint.path}: its progress record is damaged ({error!r})") from error


def load_recipe_data(recipe: Recipe) -> ImageData:
    """The data that a recipe names; UsageError if it leaves that to the user, FileError if it cannot be read."""
    if not recipe.data.source:
        raise UsageError(f"recipe {recipe.name!r} comes without data: pass --data PATH (see its header)")
    return load_data(recipe.data.source)


def architecture_of(recipe: Recipe, data: ImageData) -> dict[str, Any]:
    """Arguments of :func:`tamis.models.create_model` for these images, as JSON types."""
    return {
        "name": recipe.model.name,
        "num_classes": data.num_classes,
        "in_channels": data.in_channels,
        "image_size": list(data.image_size),
        **{key: list(value) if isinstance(value, tuple) else value for key, value in recipe.model.options.items()},
    }


def _draw_probe(recipe: Recipe, data: ImageData) -> MemorisationProbe | None:
    if not recipe.train.memorisation_probe:
        return None
    if recipe.data.crop_padding or recipe.data.flip:
        raise UsageError("train.memorisation_probe needs data.crop_padding = 0 and data.flip = false: it must see "
                         "its samples unchanged")  # fmt: skip
    return MemorisationProbe.draw(data.train_y, data.num_classes, recipe.train.memorisation_probe, recipe.train.seed)
