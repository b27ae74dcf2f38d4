"""Sparse models on new tasks: tasks, features, probes and fine-tuning, and what sparsity cost, with intervals.

Iofinova, Peste, Kurtz and Alistarh, "How Well Do Sparse ImageNet Models Transfer?", CVPR 2022 (arXiv:2111.13445).
Names load on first use: the command line knows its flags before anything imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.lazy import lazy_names

if TYPE_CHECKING:
    from tamis.transfer._builtin import BUILTIN, builtin_task
    from tamis.transfer._channels import ChannelRow, ChannelStatistics, channel_statistics, filter_statistics
    from tamis.transfer._effects import Effects, Score, best_of_kinds, effects, score_of
    from tamis.transfer._features import Features, cached_features, extract_features, feature_key
    from tamis.transfer._finetune import fine_tune
    from tamis.transfer._finetune_epochs import Diverged
    from tamis.transfer._finetune_options import FineTuneOptions, paper_options
    from tamis.transfer._finetune_result import FineTuned, Outcome
    from tamis.transfer._images import ImageArray, ImageFiles
    from tamis.transfer._inputs import input_transform
    from tamis.transfer._intervals import Interval, bootstrap
    from tamis.transfer._load_task import load_task, task_name
    from tamis.transfer._metrics import Scores, mean_per_class, score, top1
    from tamis.transfer._outcomes import Model, Outcomes, outcomes_of
    from tamis.transfer._own_tasks import from_folder, from_lists, from_npz, from_tensors
    from tamis.transfer._probe import ProbeResult
    from tamis.transfer._probe_lbfgs import GRID, LbfgsOptions, fit_lbfgs
    from tamis.transfer._probe_sgd import SgdOptions, fit_sgd
    from tamis.transfer._recipe import ProbeOptions, TransferRecipe, paper_recipe
    from tamis.transfer._registry import REGISTRY, KnownTask
    from tamis.transfer._results import Row, Table, read_results
    from tamis.transfer._run import has_finished, run_transfer
    from tamis.transfer._run_record import recipe_hash
    from tamis.transfer._schedule import rate_of_epoch
    from tamis.transfer._seeds import derived_seed
    from tamis.transfer._speed import PhaseSpeed, SpeedReport, measure_speed, speed_on_task
    from tamis.transfer._speed_kernels import LayerKernel
    from tamis.transfer._statistics import Duel, Verdict, duel, duels, verdicts
    from tamis.transfer._support import RevivedError, check_kept, held_sparsity
    from tamis.transfer._task import Task
    from tamis.transfer._transforms import PhotoTransform, PixelTransform, Transform
    from tamis.transfer._upstream import Correlation, correlation, correlations
    from tamis.transfer._wilcoxon import SignedRank, holm, signed_rank
    from tamis.transfer._zoo import Backbone, find_architecture, head_name, load_backbone, replace_head
    from tamis.transfer._zoo_infer import MIN_ZERO_FRACTION, Support, explicit_support, infer_support, soft_threshold
    from tamis.transfer._zoo_read import LayerRow, SparseState, read_sparse_state
    from tamis.transfer._zoo_style import (
        KeyRule,
        Style,
        list_styles,
        read_style,
        register_style,
        styles_with,
        unregister_style,
    )
    from tamis.transfer._zoo_translate import Translation, translate

# module -> its public names
_MODULES = {
    "_builtin": ("BUILTIN", "builtin_task"),
    "_channels": ("ChannelRow", "ChannelStatistics", "channel_statistics", "filter_statistics"),
    "_effects": ("Effects", "Score", "best_of_kinds", "effects", "score_of"),
    "_features": ("Features", "cached_features", "extract_features", "feature_key"),
    "_finetune": ("fine_tune",),
    "_finetune_epochs": ("Diverged",),
    "_finetune_options": ("FineTuneOptions", "paper_options"),
    "_finetune_result": ("FineTuned", "Outcome"),
    "_images": ("ImageArray", "ImageFiles"),
    "_inputs": ("input_transform",),
    "_intervals": ("Interval", "bootstrap"),
    "_load_task": ("load_task", "task_name"),
    "_metrics": ("Scores", "mean_per_class", "score", "top1"),
    "_outcomes": ("Model", "Outcomes", "outcomes_of"),
    "_own_tasks": ("from_folder", "from_lists", "from_npz", "from_tensors"),
    "_probe": ("ProbeResult",),
    "_probe_lbfgs": ("GRID", "LbfgsOptions", "fit_lbfgs"),
    "_probe_sgd": ("SgdOptions", "fit_sgd"),
    "_recipe": ("ProbeOptions", "TransferRecipe", "paper_recipe"),
    "_registry": ("KnownTask", "REGISTRY"),
    "_results": ("Row", "Table", "read_results"),
    "_run": ("has_finished", "run_transfer"),
    "_run_record": ("recipe_hash",),
    "_schedule": ("rate_of_epoch",),
    "_seeds": ("derived_seed",),
    "_speed": ("PhaseSpeed", "SpeedReport", "measure_speed", "speed_on_task"),
    "_speed_kernels": ("LayerKernel",),
    "_statistics": ("Duel", "Verdict", "duel", "duels", "verdicts"),
    "_support": ("RevivedError", "check_kept", "held_sparsity"),
    "_task": ("Task",),
    "_transforms": ("PhotoTransform", "PixelTransform", "Transform"),
    "_upstream": ("Correlation", "correlation", "correlations"),
    "_wilcoxon": ("SignedRank", "holm", "signed_rank"),
    "_zoo": ("Backbone", "find_architecture", "head_name", "load_backbone", "replace_head"),
    "_zoo_infer": ("MIN_ZERO_FRACTION", "Support", "explicit_support", "infer_support", "soft_threshold"),
    "_zoo_read": ("LayerRow", "SparseState", "read_sparse_state"),
    "_zoo_style": (
        "KeyRule",
        "Style",
        "list_styles",
        "read_style",
        "register_style",
        "styles_with",
        "unregister_style",
    ),
    "_zoo_translate": ("Translation", "translate"),
}

__all__ = [
    "BUILTIN",
    "GRID",
    "MIN_ZERO_FRACTION",
    "REGISTRY",
    "Backbone",
    "ChannelRow",
    "ChannelStatistics",
    "Correlation",
    "Diverged",
    "Duel",
    "Effects",
    "Features",
    "FineTuneOptions",
    "FineTuned",
    "ImageArray",
    "ImageFiles",
    "Interval",
    "KeyRule",
    "KnownTask",
    "LayerKernel",
    "LayerRow",
    "LbfgsOptions",
    "Model",
    "Outcome",
    "Outcomes",
    "PhaseSpeed",
    "PhotoTransform",
    "PixelTransform",
    "ProbeOptions",
    "ProbeResult",
    "RevivedError",
    "Row",
    "Score",
    "Scores",
    "SgdOptions",
    "SignedRank",
    "SparseState",
    "SpeedReport",
    "Style",
    "Support",
    "Table",
    "Task",
    "TransferRecipe",
    "Transform",
    "Translation",
    "Verdict",
    "best_of_kinds",
    "bootstrap",
    "builtin_task",
    "cached_features",
    "channel_statistics",
    "check_kept",
    "correlation",
    "correlations",
    "derived_seed",
    "duel",
    "duels",
    "effects",
    "explicit_support",
    "extract_features",
    "feature_key",
    "filter_statistics",
    "find_architecture",
    "fine_tune",
    "fit_lbfgs",
    "fit_sgd",
    "from_folder",
    "from_lists",
    "from_npz",
    "from_tensors",
    "has_finished",
    "head_name",
    "held_sparsity",
    "holm",
    "infer_support",
    "input_transform",
    "list_styles",
    "load_backbone",
    "load_task",
    "mean_per_class",
    "measure_speed",
    "outcomes_of",
    "paper_options",
    "paper_recipe",
    "rate_of_epoch",
    "read_results",
    "read_sparse_state",
    "read_style",
    "recipe_hash",
    "register_style",
    "replace_head",
    "run_transfer",
    "score",
    "score_of",
    "signed_rank",
    "soft_threshold",
    "speed_on_task",
    "styles_with",
    "task_name",
    "top1",
    "translate",
    "unregister_style",
    "verdicts",
]


__getattr__, __dir__ = lazy_names(__name__, _MODULES)
