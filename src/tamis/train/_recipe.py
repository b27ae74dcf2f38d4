"""A recipe: every choice of one training run, as frozen values that mirror the tables of a TOML file.

The dataclasses below are the single source of options: the TOML reader, the command line's flags and the resolved
``recipe.toml`` of a run folder are all derived from them.  This module imports no torch, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tamis.errors import UsageError
from tamis.train._options import MethodOptions
from tamis.train._options_registry import OPTIONS, Method
from tamis.train._recipe_checks import at_least, folder_name, fraction_of_zeros, increasing, positive, within
from tamis.train._recipe_method import Distribution, Pattern

Plain = int | float | str | bool | tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """Where a recipe comes from and which number it should reach (all free text; shown in the report)."""

    paper: str = ""
    """Authors, title, venue."""
    table: str = ""
    """Table, figure or repository that states the number."""
    expected: str = ""
    """The published number, with its unit; empty where nothing was published."""
    certainty: str = ""
    """How the number is known: an official repository at a commit, the paper, or measured here."""


@dataclass(frozen=True)
class Data:
    """What to learn from, and the augmentation of the training images."""

    source: str = "digits"
    """``digits``, a path to an ``.npz`` file or an image folder, ``torchvision:NAME``; empty: pass --data PATH."""
    crop_padding: int = 0
    """Pixels of zero padding before a random crop back to the original size; 0 switches cropping off."""
    flip: bool = False
    """Mirror half of the training images from left to right."""

    def __post_init__(self) -> None:
        at_least("data.crop_padding", self.crop_padding, 0)


@dataclass(frozen=True)
class Model:
    """Which network: a name of ``tamis.models.list_models()`` and its own options."""

    name: str = "resnet8_digits"
    """Registry name."""
    options: Mapping[str, Plain] = field(default_factory=dict)
    """Options of that model, such as ``dropout`` or ``shortcut``."""


@dataclass(frozen=True)
class Optimizer:
    """The optimizer and its constants."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Which rule."""
    lr: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """sgd: momentum."""
    nesterov: bool = False
    """sgd: Nesterov's form."""
    weight_decay: float = 5e-4
    """Weight decay on every parameter, normalisation included."""
    beta1: float = 0.9
    """adam, adamw: decay of the first moment."""
    beta2: float = 0.999
    """adam, adamw: decay of the second moment."""

    def __post_init__(self) -> None:
        positive("optimizer.lr", self.lr)
        for key in ("momentum", "beta1", "beta2"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                raise UsageError(f"optimizer.{key} = {value}: expected a number with 0 <= {key} < 1")
        at_least("optimizer.weight_decay", self.weight_decay, 0)
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise UsageError("optimizer.nesterov = true needs optimizer.momentum > 0")


@dataclass(frozen=True)
class Schedule:
    """The learning rate over the epochs; constant inside an epoch, never restarted by a phase change."""

    kind: Literal["cosine", "step", "constant"] = "cosine"
    """Shape after the warm-up."""
    warmup_epochs: int = 0
    """Epochs of the linear warm-up lr (e + 1) / warmup_epochs."""
    step_epochs: tuple[int, ...] = ()
    """step: after each of these epochs the rate is multiplied by ``factor``."""
    factor: float = 0.1
    """step: the factor."""

    def __post_init__(self) -> None:
        at_least("schedule.warmup_epochs", self.warmup_epochs, 0)
        positive("schedule.factor", self.factor)
        increasing("schedule.step_epochs", self.step_epochs)


@dataclass(frozen=True)
class Train:
    """Length of the run, batches, seeds, and what is kept."""

    epochs: int = 20
    """Passes over the training data; 0 only evaluates (and prunes, with oneshot)."""
    batch_size: int = 128
    """Samples per optimizer step."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over the classes."""
    packed: Literal["auto", "always", "never"] = "auto"
    """Run pruned layers on the sparse kernels where measured to pay, always, or never."""
    checkpoint_every: int = 1
    """Epochs between two checkpoints."""
    dense_twin_epochs: int = 0
    """acdc: epochs of dense fine-tuning from the last dense phase, for the dense model of the pair; 0: none."""
    memorisation_probe: int = 0
    """Training samples with random labels whose memorisation is logged each epoch (R = 1000 in the paper)."""

    def __post_init__(self) -> None:
        at_least("train.epochs", self.epochs, 0)
        at_least("train.batch_size", self.batch_size, 1)
        within("train.seed", self.seed, 0, 2**63 - 1)
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"train.label_smoothing = {self.label_smoothing}: expected 0 <= label_smoothing < 1")
        at_least("train.checkpoint_every", self.checkpoint_every, 1)
        at_least("train.dense_twin_epochs", self.dense_twin_epochs, 0)
        at_least("train.memorisation_probe", self.memorisation_probe, 0)


@dataclass(frozen=True)
class Recipe:
    """One training run.

    ``method`` names the published sparsifier; ``sparsity`` is the fraction of zeros over the prunable weights, in
    [0, 1), and must be absent or 0 for ``method = "dense"``.  Raises :class:`tamis.errors.UsageError` that names the
    key, the value and the range for anything out of range.
    """

    name: str = "run"
    """Name of the run; the default run folder is runs/NAME."""
    method: Method = "dense"
    """The published sparsifier, or dense."""
    sparsity: float = 0.0
    """Fraction of zeros over the prunable weights, in [0, 1)."""
    exclude: tuple[str, ...] = ()
    """Layers that are never pruned, by name or glob, such as conv1 or downsample.*"""
    source: Source = Source()
    data: Data = Data()
    model: Model = field(default_factory=Model)
    distribution: Distribution = field(default_factory=Distribution)
    pattern: Pattern = field(default_factory=Pattern)
    options: MethodOptions = field(default_factory=MethodOptions)
    """Options of the method; not given: its defaults."""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    train: Train = Train()

    def __post_init__(self) -> None:
        folder_name("name", self.name)
        wanted = OPTIONS[self.method]
        if type(self.options) is MethodOptions:
            object.__setattr__(self, "options", wanted())
        elif type(self.options) is not wanted:
            raise UsageError(
                f'options are those of {type(self.options).__name__.lower()}, but method = "{self.method}"; leave them '
                "out for its defaults"
            )
        fraction_of_zeros("sparsity", self.sparsity)
        if self.method == "dense" and self.sparsity:
            raise UsageError(
                f'method = "dense" with sparsity = {self.sparsity}: choose a method, such as acdc, or sparsity 0'
            )
        if self.method != "dense" and not self.sparsity:
            raise UsageError(f'method = "{self.method}" needs a sparsity, such as sparsity = 0.9')
        if self.schedule.warmup_epochs and self.schedule.warmup_epochs >= self.train.epochs:
            raise UsageError(
                f"schedule.warmup_epochs = {self.schedule.warmup_epochs}: expected less than train.epochs = "
                f"{self.train.epochs}"
            )
        epoch = getattr(self.options, "epoch", 0)
        if epoch and not 0 < epoch < self.train.epochs:
            raise UsageError(
                f"options.epoch = {epoch}: expected at least 0 and less than train.epochs = {self.train.epochs}"
            )
        if self.train.dense_twin_epochs and self.method != "acdc":
            raise UsageError(f'train.dense_twin_epochs needs method = "acdc", this recipe has "{self.method}"')
