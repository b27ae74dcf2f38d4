"""What a study of methods compares: one base recipe, methods, sparsities and seeds, read from a strict TOML file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tamis.errors import UsageError
from tamis.study._study_file import read_study_file
from tamis.train import OPTIONS, parse_table
from tamis.train._recipe_checks import folder_name, fraction_of_zeros, within

BASELINE = "dense"


@dataclass(frozen=True)
class MethodStudy:
    """Which cells a study of methods has; every combination of method, sparsity and seed is one training run.

    Raises :class:`tamis.errors.UsageError` that names the key and the value for anything that makes no sense.
    """

    name: str = "methods"
    """Name of the study; the default folder is runs/NAME."""
    base: str = ""
    """The recipe that all cells share: a name, or a path beside the study's file."""
    methods: tuple[str, ...] = ()
    """Names of methods; the dense baseline is always trained too."""
    sparsity: tuple[float, ...] = (0.8, 0.9, 0.95, 0.98)
    """Fractions of zeros over the prunable weights."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of weights, order and augmentation."""
    reference: str = ""
    """The method that the others are compared with, seed by seed; empty: the first one."""
    prune_at: float = 0.5
    """Share of the epochs of dense training before methods that prune a trained network do so (options.epoch)."""
    cells: Mapping[str, Any] = field(default_factory=dict)
    """By method, a part of a recipe that replaces the base's: options, distribution, pattern, optimizer, ..."""

    def __post_init__(self) -> None:
        folder_name("name", self.name)
        if not self.base:
            raise UsageError("base: expected the recipe that all cells share, such as base = 'digits_resnet8'")
        for key in ("methods", "sparsity", "seeds"):
            values = getattr(self, key)
            if not values:
                raise UsageError(f"{key}: expected at least one")
            if len(set(values)) < len(values):
                raise UsageError(f"{key} = {list(values)}: expected each of them once")
        for method in self.methods:
            known_method("methods", method)
            if method == BASELINE:
                raise UsageError(f"methods: {BASELINE!r} is always trained as the baseline; leave it out")
        for fraction in self.sparsity:
            fraction_of_zeros("sparsity", fraction)
            if fraction == 0:
                raise UsageError("sparsity = 0: the dense baseline is always trained; leave it out")
        for seed in self.seeds:
            within("seeds", seed, 0, 2**63 - 1)
        within("prune_at", self.prune_at, 0.0, 1.0)
        if self.reference and self.reference not in (*self.methods, BASELINE):
            raise UsageError(f"reference = {self.reference!r}: expected one of {', '.join(self.methods)} or {BASELINE}")
        for method, part in self.cells.items():
            known_method("cells", method)
            if not isinstance(part, Mapping):
                raise UsageError(f"cells.{method} = {part!r}: expected a table, a part of a recipe")

    @property
    def compared_with(self) -> str:
        """The reference method."""
        return self.reference or self.methods[0]


def known_method(key: str, method: str) -> None:
    """Refuse a method that recipes do not know."""
    if method not in OPTIONS:
        close = difflib.get_close_matches(method, OPTIONS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"{key}: unknown method {method!r}, expected one of {', '.join(OPTIONS)}{hint}")


def load_study(path: str | os.PathLike[str]) -> MethodStudy:
    """Read a study file, or one of the studies that come with tamis by its bare name (``digits_methods``).

    A ``base`` that is a file beside the study's file becomes the path of that file.

    Raises :class:`tamis.errors.FileError` for a missing file or broken TOML and :class:`tamis.errors.UsageError` for
    an unknown key (with close matches), a wrong type or a value out of range; each message names the file and the key.
    """
    table, name = read_study_file(path, "study", "studies", "base")
    return parse_table(MethodStudy, table, name)
