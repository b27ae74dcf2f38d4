"""Recipes, the training loop, checkpoints, metrics, and what a run leaves behind.

Names load on first use: the command line reads recipes before anything imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.lazy import lazy_names

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
    from tamis.train._container import load_container, save_container
    from tamis.train._environment import describe_environment
    from tamis.train._evaluate import Evaluation, evaluate
    from tamis.train._export import export_model, load_model
    from tamis.train._fit import fit
    from tamis.train._interrupt import Interrupted, StopRequest
    from tamis.train._learning_rate import build_optimizer, learning_rate
    from tamis.train._metrics import MetricsLog, read_metrics
    from tamis.train._onnx import export_onnx
    from tamis.train._options import MethodOptions
    from tamis.train._options_registry import OPTIONS
    from tamis.train._ranks import RankError, Ranks
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
    "_container": ("load_container", "save_container"),
    "_environment": ("describe_environment",),
    "_evaluate": ("Evaluation", "evaluate"),
    "_export": ("export_model", "load_model"),
    "_fit": ("fit",),
    "_interrupt": ("Interrupted", "StopRequest"),
    "_learning_rate": ("build_optimizer", "learning_rate"),
    "_metrics": ("MetricsLog", "read_metrics"),
    "_onnx": ("export_onnx",),
    "_ranks": ("RankError", "Ranks"),
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
    "RankError",
    "Ranks",
    "Recipe",
    "Schedule",
    "Source",
    "StepSpeed",
    "StopRequest",
    "Train",
    "build_optimizer",
    "checkpoint_of",
    "describe_environment",
    "dump_recipe",
    "evaluate",
    "export_model",
    "export_onnx",
    "find_recipe",
    "fit",
    "learning_rate",
    "load_checkpoint",
    "load_container",
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
    "save_container",
    "save_recipe",
    "train_attributes",
]


__getattr__, __dir__ = lazy_names(__name__, _MODULES)
