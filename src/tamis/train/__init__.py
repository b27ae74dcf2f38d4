"""Recipes, the training loop, checkpoints, metrics, and what a run leaves behind.

Names load on first use: the command line reads recipes before anything imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.train._attributes import AttributeRecipe, AttributeRun, measured_sparsity, train_attributes
    from tamis.train._checkpoint import (
        Checkpoint,
        checkpoint_of,
        load_checkpoint,
        load_weights,
        restore,
        save_checkpoint,
    )
    from tamis.train._environment import describe_environment
    from tamis.train._evaluate import Evaluation, evaluate
    from tamis.train._export import export_model, load_model
    from tamis.train._fit import fit
    from tamis.train._interrupt import Interrupted
    from tamis.train._learning_rate import learning_rate
    from tamis.train._metrics import MetricsLog, read_metrics
    from tamis.train._options import MethodOptions
    from tamis.train._options_registry import OPTIONS
    from tamis.train._recipe import Data, Model, Optimizer, Recipe, Schedule, Source, Train
    from tamis.train._recipe_method import Distribution, Pattern
    from tamis.train._recipe_toml import (
        dump_recipe,
        find_recipe,
        load_recipe,
        parse_recipe,
        parse_table,
        read_toml,
        save_recipe,
    )
    from tamis.train._speed import StepSpeed, measure_step

_MODULES = {
    "_attributes": ("AttributeRecipe", "AttributeRun", "measured_sparsity", "train_attributes"),
    "_checkpoint": ("Checkpoint", "checkpoint_of", "load_checkpoint", "load_weights", "restore", "save_checkpoint"),
    "_environment": ("describe_environment",),
    "_evaluate": ("Evaluation", "evaluate"),
    "_export": ("export_model", "load_model"),
    "_fit": ("fit",),
    "_interrupt": ("Interrupted",),
    "_learning_rate": ("learning_rate",),
    "_metrics": ("MetricsLog", "read_metrics"),
    "_recipe": ("Data", "Model", "Optimizer", "Recipe", "Schedule", "Source", "Train"),
    "_options": ("MethodOptions",),
    "_options_registry": ("OPTIONS",),
    "_recipe_method": ("Distribution", "Pattern"),
    "_recipe_toml": (
        "dump_recipe",
        "find_recipe",
        "load_recipe",
        "parse_recipe",
        "parse_table",
        "read_toml",
        "save_recipe",
    ),
    "_speed": ("StepSpeed", "measure_step"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "OPTIONS",
    "AttributeRecipe",
    "AttributeRun",
    "Checkpoint",
    "Data",
    "Distribution",
    "Evaluation",
    "Interrupted",
    "MethodOptions",
    "MetricsLog",
    "Model",
    "Optimizer",
    "Pattern",
    "Recipe",
    "Schedule",
    "Source",
    "StepSpeed",
    "Train",
    "checkpoint_of",
    "describe_environment",
    "dump_recipe",
    "evaluate",
    "export_model",
    "find_recipe",
    "fit",
    "learning_rate",
    "load_checkpoint",
    "load_model",
    "load_recipe",
    "load_weights",
    "measure_step",
    "measured_sparsity",
    "parse_recipe",
    "parse_table",
    "read_metrics",
    "read_toml",
    "restore",
    "save_checkpoint",
    "save_recipe",
    "train_attributes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tamis.train' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"tamis.train.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
