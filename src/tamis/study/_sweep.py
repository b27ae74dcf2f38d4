"""What a transfer sweep crosses: upstream models, tasks, kinds and seeds, read from a strict TOML file."""

from __future__ import annotations

import math
import os
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tamis.errors import UsageError
from tamis.study._description import BASELINE, known_method
from tamis.study._study_file import read_study_file
from tamis.train import parse_table
from tamis.train._recipe_checks import folder_name, fraction_of_zeros, within

Kind = Literal["linear", "full"]


@dataclass(frozen=True)
class UpstreamModel:
    """One upstream model: a checkpoint of any style, or a run folder of tamis."""

    path: str = ""
    """File or run folder; relative to the folder of models."""
    method: str = ""
    """How it was sparsified, ``dense`` for the baseline."""
    sparsity: float = 0.0
    """Nominal fraction of zeros."""
    arch: str = "auto"
    """Network, where the file does not say."""
    upstream: float = math.nan
    """Accuracy on its own test set; taken from a run folder's summary if not given."""
    note: str = ""
    """Free text for the results, such as how it was trained."""

    def __post_init__(self) -> None:
        if not self.path or not self.method:
            raise UsageError(f"models: path = {self.path!r}, method = {self.method!r}: expected both")
        fraction_of_zeros("sparsity", self.sparsity)


@dataclass(frozen=True)
class TransferSweep:
    """Every combination of an upstream model, a task, a kind and a seed is one cell.

    The models are those of ``models``; or ``methods`` x ``sparsity`` and the dense baseline, found at ``path``; or the
    same, trained by the sweep itself from the recipe ``train``.

    Raises :class:`tamis.errors.UsageError` that names the key and the value for anything that makes no sense.
    """

    name: str = "transfer"
    """Name of the sweep; the default folder is runs/NAME."""
    tasks: tuple[str, ...] = ()
    """Names of tasks, .npz files or folders; paths are relative to the folder of data."""
    kinds: tuple[Kind, ...] = ("linear",)
    """linear: a new head on frozen features; full: everything trains, zeros stay zero."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of head, order and augmentation.  A linear probe by L-BFGS has no seed and takes the first."""
    models: tuple[UpstreamModel, ...] = ()
    """Upstream models one by one."""
    methods: tuple[str, ...] = ()
    """Methods of the upstream models; the dense baseline is always there."""
    sparsity: tuple[float, ...] = (0.8, 0.9, 0.95)
    """Fractions of zeros of the upstream models, with methods."""
    path: str = ""
    """Where the models of methods are: a pattern such as ``{method}_{sparsity:g}``."""
    train: str = ""
    """The recipe that the models of methods are trained with: a name, or a path beside the sweep's file."""
    cells: Mapping[str, Any] = field(default_factory=dict)
    """With train: by method, a part of a recipe that replaces the base's."""
    paper: bool = False
    """Take the constants of the published study; its choice on the test set is labelled and left out by default."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """A part of a transfer recipe: probe, finetune, norm, size, metric."""

    def __post_init__(self) -> None:
        folder_name("name", self.name)
        for key in ("tasks", "kinds", "seeds"):
            values = getattr(self, key)
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{key} = {list(values)}: expected at least one, each of them once")
        for seed in self.seeds:
            within("seeds", seed, 0, 2**62)
        if bool(self.models) == bool(self.methods):
            raise UsageError("expected either models, or methods with path or train")
        if self.methods and bool(self.path) == bool(self.train):
            raise UsageError(
                "methods: expected either path, where the models are, or train, the recipe that makes them"
            )
        if self.models and (self.path or self.train):
            raise UsageError("path and train belong to methods; models have a path each")
        for method in self.methods:
            known_method("methods", method)
            if method == BASELINE:
                raise UsageError(f"methods: {BASELINE!r} is always there as the baseline; leave it out")
        for fraction in self.sparsity:
            fraction_of_zeros("sparsity", fraction)
        if self.path:
            _check_pattern(self.path)
        if len({(model.method, model.sparsity) for model in self.models}) < len(self.models):
            raise UsageError("models: expected each method and sparsity once")
        for key in ("model", "data", "root", "how", "seed", "method", "arch", "cache"):
            if key in self.recipe:
                raise UsageError(f"recipe.{key} belongs to the sweep itself")


def _check_pattern(path: str) -> None:
    """Refuse what ``str.format`` would look up or widen beyond a name and a number."""
    try:
        parts = [(name, spec or "", kind) for _, name, spec, kind in string.Formatter().parse(path) if name is not None]
        for name, spec, kind in parts:
            if name not in ("method", "sparsity") or kind or not re.fullmatch(r"(\.?\d{1,2})?[gf%]?", spec):
                raise ValueError(f"{{{name}:{spec}}}")
        path.format(method="acdc", sparsity=0.9)
    except ValueError as error:
        raise UsageError(
            f"path = {path!r}: {error}; expected {{method}} and {{sparsity}}, or {{sparsity:g}}, only"
        ) from None


def load_sweep(path: str | os.PathLike[str]) -> TransferSweep:
    """Read a sweep file, or one of those that come with tamis by its bare name (``transfer_digits``).

    A ``train`` that is a file beside the sweep's file becomes the path of that file.

    Raises :class:`tamis.errors.FileError` for a missing file or broken TOML and :class:`tamis.errors.UsageError` for
    an unknown key (with close matches), a wrong type or a value out of range; each message names the file and the key.
    """
    table, name = read_study_file(path, "sweep", "transfer", "train")
    return parse_table(TransferSweep, table, name)
