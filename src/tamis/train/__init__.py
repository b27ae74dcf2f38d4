"""Recipes, the training loop, checkpoints, metrics, and what a run leaves behind.

Names load on first use: the command line reads recipes before anything imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.train._checkpoint import load_checkpoint, save_checkpoint
    from tamis.train._environment import describe_environment
    from tamis.train._evaluate import evaluate
    from tamis.train._export import export_model, load_model
    from tamis.train._fit import fit
    from tamis.train._interrupt import Interrupted
    from tamis.train._learning_rate import learning_rate
    from tamis.train._metrics import MetricsLog, read_metrics
    from tamis.train._recipe import Recipe
    from tamis.train._recipe_toml import dump_recipe, load_recipe, parse_recipe, save_recipe

_HOME = {
    "Interrupted": "_interrupt",
    "MetricsLog": "_metrics",
    "Recipe": "_recipe",
    "describe_environment": "_environment",
    "dump_recipe": "_recipe_toml",
    "evaluate": "_evaluate",
    "export_model": "_export",
    "fit": "_fit",
    "learning_rate": "_learning_rate",
    "load_checkpoint": "_checkpoint",
    "load_model": "_export",
    "load_recipe": "_recipe_toml",
    "parse_recipe": "_recipe_toml",
    "read_metrics": "_metrics",
    "save_checkpoint": "_checkpoint",
    "save_recipe": "_recipe_toml",
}

__all__ = [
    "Interrupted",
    "MetricsLog",
    "Recipe",
    "describe_environment",
    "dump_recipe",
    "evaluate",
    "export_model",
    "fit",
    "learning_rate",
    "load_checkpoint",
    "load_model",
    "load_recipe",
    "parse_recipe",
    "read_metrics",
    "save_checkpoint",
    "save_recipe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tamis.train' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"tamis.train.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
