"""What a bias study trains: data, levels, set-ups and seeds, read from a strict TOML file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from tamis.errors import UsageError
from tamis.train import AttributeRecipe, Optimizer, find_recipe, parse_table, read_toml
from tamis.train._recipe_checks import folder_name, fraction_of_zeros, within

DATA = ("tinted_digits", "mnist_groups", "animals")


@dataclass(frozen=True)
class BiasData:
    """Where the images come from."""

    kind: Literal["tinted_digits", "mnist_groups", "animals"] = "tinted_digits"
    """tinted_digits is drawn here; the others are read from ``path``, see docs/bias_study.md."""
    path: str = ""
    """Folder of the files that ``kind`` needs."""
    seed: int = 66
    """Of the drawing, or of the choice of images."""
    images: int = 0
    """Training images to take at most; 0: all."""

    def __post_init__(self) -> None:
        within("data.seed", self.seed, 0, 2**32 - 1)
        within("data.images", self.images, 0, 2**31)


@dataclass(frozen=True)
class PlantedFeature:
    """A feature that goes with one attribute in training and with nothing in the test, see :func:`tamis.data.plant`."""

    attribute: str = ""
    """The attribute that it goes with; a network is trained on this one alone."""
    kind: Literal["yellow_square", "grayscale"] = "yellow_square"
    train: tuple[float, ...] = (0.05, 0.95)
    """Shares of the zeros and of the ones that get the feature in training."""
    colour: tuple[float, ...] = (1.0, 1.0, -1.0)
    """Of the square, behind normalisation."""
    seeds: int = 3
    """Train with the first so many seeds of the study."""

    def __post_init__(self) -> None:
        if not self.attribute or len(self.train) != 2:
            raise UsageError(
                f"planted: attribute = {self.attribute!r}, train = {list(self.train)}; expected the name of an "
                "attribute and two shares, such as train = [0.05, 0.95]"
            )
        for share in self.train:
            within("planted.train", share, 0.0, 1.0)
        within("planted.seeds", self.seeds, 1, 1000)


@dataclass(frozen=True)
class BiasStudy:
    """Which networks a bias study trains.

    Every dense network and every pruned one of the same set-up are trained alike but for the pruning.  Raises
    :class:`tamis.errors.UsageError` that names the key and the value for anything that makes no sense.
    """

    name: str = "bias"
    """Name of the study; the default folder is runs/NAME."""
    data: BiasData = field(default_factory=BiasData)
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of weights, order and shifts; the data stay the same."""
    attributes: tuple[str, ...] = ()
    """Attributes that joint networks predict; empty: all."""
    sparsity: tuple[float, ...] = (0.8, 0.9, 0.95, 0.97, 0.98)
    """GMP-RI: fractions of zeros of networks pruned while they train from random weights."""
    after_training: tuple[float, ...] = (0.95, 0.98)
    """GMP-PT: fractions of zeros of networks pruned from the dense network of the same seed."""
    bits: tuple[int, ...] = (8, 4, 3)
    """Bits to which weights of the dense networks are rounded."""
    single: tuple[str, ...] = ()
    """Attributes that networks of one output are trained on, each alone."""
    single_sparsity: tuple[float, ...] = (0.98,)
    """Fractions of zeros of those; the dense one is always trained."""
    combined: tuple[tuple[str, ...], ...] = ()
    """Groups of columns that networks are trained on together, such as an identity and an attribute."""
    planted: tuple[PlantedFeature, ...] = ()
    planted_sparsity: tuple[float, ...] = (0.95, 0.98)
    """Fractions of zeros of networks trained with planted features; the dense one is always trained."""
    training: AttributeRecipe = field(default_factory=AttributeRecipe)
    """How networks are trained from random weights; targets, sparsity and seed are those of each cell."""
    finetuning: AttributeRecipe = field(
        default_factory=lambda: AttributeRecipe(
            epochs=6, optimizer=Optimizer(name="adam", lr=1e-3), schedule="constant"
        )
    )
    """How trained networks are pruned (GMP-PT)."""

    def __post_init__(self) -> None:
        folder_name("name", self.name)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"seeds = {list(self.seeds)}: expected at least one, each of them once")
        for seed in self.seeds:
            within("seeds", seed, 0, 2**32 - 1)
        for key in ("sparsity", "after_training", "single_sparsity", "planted_sparsity"):
            levels = getattr(self, key)
            for level in levels:
                fraction_of_zeros(key, level)
            if len(set(levels)) < len(levels) or 0.0 in levels:
                raise UsageError(
                    f"{key} = {list(levels)}: expected each of them once, without 0: dense networks are always trained"
                )
        for bits in self.bits:
            within("bits", bits, 2, 16)
        for key in ("training", "finetuning"):
            recipe: AttributeRecipe = getattr(self, key)
            if recipe.targets or recipe.sparsity or recipe.seed:
                raise UsageError(f"{key}: targets, sparsity and seed belong to the study itself; leave them out")
        if self.training.model != self.finetuning.model:
            raise UsageError(
                f"finetuning.model = {self.finetuning.model!r}, training.model = {self.training.model!r}: expected the "
                "same network"
            )


def load_bias_study(path: str | os.PathLike[str]) -> BiasStudy:
    """Read a study file, or one that comes with tamis by its bare name (``bias_tinted_digits``).

    Raises :class:`tamis.errors.FileError` for a missing file or broken TOML and :class:`tamis.errors.UsageError` for
    an unknown key (with close matches), a wrong type or a value out of range; each message names the file and the key.
    """
    file = find_recipe(path, "study", "studies")
    return parse_table(BiasStudy, read_toml(file), str(file))
