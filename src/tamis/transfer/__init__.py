"""Sparse models on new tasks: tasks, features, probes and fine-tuning, and what sparsity cost, with intervals.

Iofinova, Peste, Kurtz and Alistarh, "How Well Do Sparse ImageNet Models Transfer?", CVPR 2022 (arXiv:2111.13445).
Names load on first use: the command line knows its flags before anything imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.transfer._builtin import builtin_task
    from tamis.transfer._effects import Effects, Score, best_of_kinds, effects, score_of
    from tamis.transfer._images import ImageArray, ImageFiles
    from tamis.transfer._intervals import Interval, bootstrap
    from tamis.transfer._load_task import load_task
    from tamis.transfer._metrics import Scores, mean_per_class, score, top1
    from tamis.transfer._outcomes import Model, Outcomes, outcomes_of
    from tamis.transfer._own_tasks import from_folder, from_lists, from_npz, from_tensors
    from tamis.transfer._registry import REGISTRY, KnownTask
    from tamis.transfer._results import Row, Table, read_results
    from tamis.transfer._statistics import Duel, Verdict, duel, duels, verdicts
    from tamis.transfer._task import Task
    from tamis.transfer._transforms import PhotoTransform, PixelTransform, Transform
    from tamis.transfer._upstream import Correlation, correlation, correlations
    from tamis.transfer._wilcoxon import SignedRank, holm, signed_rank

# module -> its public names
_MODULES = {
    "_builtin": ("builtin_task",),
    "_effects": ("Effects", "Score", "best_of_kinds", "effects", "score_of"),
    "_images": ("ImageArray", "ImageFiles"),
    "_intervals": ("Interval", "bootstrap"),
    "_load_task": ("load_task",),
    "_metrics": ("Scores", "mean_per_class", "score", "top1"),
    "_outcomes": ("Model", "Outcomes", "outcomes_of"),
    "_own_tasks": ("from_folder", "from_lists", "from_npz", "from_tensors"),
    "_registry": ("REGISTRY", "KnownTask"),
    "_results": ("Row", "Table", "read_results"),
    "_statistics": ("Duel", "Verdict", "duel", "duels", "verdicts"),
    "_task": ("Task",),
    "_transforms": ("PhotoTransform", "PixelTransform", "Transform"),
    "_upstream": ("Correlation", "correlation", "correlations"),
    "_wilcoxon": ("SignedRank", "holm", "signed_rank"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "REGISTRY",
    "Correlation",
    "Duel",
    "Effects",
    "ImageArray",
    "ImageFiles",
    "Interval",
    "KnownTask",
    "Model",
    "Outcomes",
    "PhotoTransform",
    "PixelTransform",
    "Row",
    "Score",
    "Scores",
    "SignedRank",
    "Table",
    "Task",
    "Transform",
    "Verdict",
    "best_of_kinds",
    "bootstrap",
    "builtin_task",
    "correlation",
    "correlations",
    "duel",
    "duels",
    "effects",
    "from_folder",
    "from_lists",
    "from_npz",
    "from_tensors",
    "holm",
    "load_task",
    "mean_per_class",
    "outcomes_of",
    "read_results",
    "score",
    "score_of",
    "signed_rank",
    "top1",
    "verdicts",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tamis.transfer' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"tamis.transfer.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
