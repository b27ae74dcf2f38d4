"""From a recipe's words to a sparsifier: options map one to one to the constructors of tamis.methods and sparsity."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from tamis.errors import UsageError
from tamis.methods import METHODS, Examples, Ramp
from tamis.sparsity import (
    ERK,
    NM,
    Block,
    Budget,
    FanIn,
    Global,
    Phase,
    Uniform,
    Unstructured,
    acdc_phases,
    default_phases,
)
from tamis.train._options_magnitude import PHASE_LENGTHS, ACDCOptions
from tamis.train._options_second_order import FisherOptions
from tamis.train._recipe import Recipe
from tamis.train._recipe_method import Distribution, Pattern

DISTRIBUTIONS: dict[str, Any] = {"global": Global, "uniform": Uniform, "erk": ERK, "budget": Budget}
PATTERNS: dict[str, Any] = {"unstructured": Unstructured, "nm": NM, "block": Block, "fanin": FanIn}
DEFAULT = object()
PACKED: dict[str, Any] = {"auto": "auto", "always": True, "never": False}


def build_sparsifier(recipe: Recipe, steps_per_epoch: int, examples: Examples | None = None) -> Any:
    """The sparsifier of a recipe, not attached yet; None for ``method = "dense"``.

    Args:
        recipe: the choices; lengths in epochs and shares of the run become steps here.
        steps_per_epoch: optimizer steps of one pass over the training data.
        examples: training data for the methods that look at some by themselves.

    Raises:
        UsageError: phases that do not add up, or a pattern that does not fit the sparsity or the distribution.
    """
    if recipe.method == "dense":
        return None
    kind, options = METHODS[recipe.method], recipe.options
    keywords: dict[str, Any] = {
        "distribution": build_distribution(recipe.distribution),
        "pattern": build_pattern(recipe.pattern),
        "exclude": recipe.exclude or DEFAULT,
        "packed": PACKED[recipe.train.packed],
        "examples": examples,
        **_values(options),
    }
    if isinstance(options, ACDCOptions):
        for length in PHASE_LENGTHS:
            del keywords[length]
        keywords["schedule"] = phases_in_steps(options, recipe.train.epochs, steps_per_epoch)
        keywords["steps_per_epoch"] = steps_per_epoch
        keywords["ramp"] = Ramp() if options.ramp else None
    if "epoch" in keywords:
        keywords["at_step"] = keywords.pop("epoch") * steps_per_epoch
    if "total_steps" in inspect.signature(kind).parameters:
        total = recipe.train.epochs * steps_per_epoch
        # Without training, the methods of the Fisher matrix prune once.
        keywords["total_steps"] = None if total == 0 and isinstance(options, FisherOptions) else total
    return kind(recipe.sparsity, **{name: value for name, value in keywords.items() if value is not DEFAULT})


def phases_in_steps(lengths: ACDCOptions, epochs: int, steps_per_epoch: int) -> tuple[Phase, ...]:
    """The phases of an AC/DC recipe of ``epochs`` epochs in optimizer steps; they begin and end with epochs.

    Raises:
        UsageError: the lengths do not add up to ``train.epochs``; the message names the nearest totals that do.
    """
    try:
        if lengths.warmup:
            phases = acdc_phases(
                epochs, lengths.warmup, lengths.sparse, lengths.dense, lengths.last_dense, lengths.last_sparse
            )
        else:
            phases = default_phases(epochs)
    except UsageError as error:
        raise UsageError(f"train.epochs = {epochs}: {error}") from error
    return tuple(Phase(p.kind, p.start * steps_per_epoch, p.end * steps_per_epoch) for p in phases)


def build_distribution(options: Distribution) -> Any:
    """The value of tamis.sparsity that ``options`` names; keys that were not given keep its defaults.

    For ``kind = "default"`` :data:`DEFAULT`: the constructor's own.
    """
    return DEFAULT if options.kind == "default" else DISTRIBUTIONS[options.kind](**_given(options))


def build_pattern(options: Pattern) -> Any:
    """The value of tamis.sparsity that ``options`` names, or :data:`DEFAULT`."""
    return DEFAULT if options.kind == "default" else PATTERNS[options.kind](**_given(options))


def _given(options: Any) -> dict[str, Any]:
    return {name: value for name, value in _values(options).items() if name != "kind" and value is not None}


def _values(options: Any) -> dict[str, Any]:
    return {item.name: getattr(options, item.name) for item in fields(options)}
