"""Sparse models on new tasks: tasks, features, probes and fine-tuning, and what sparsity cost, with intervals.

Iofinova, Peste, Kurtz and Alistarh, "How Well Do Sparse ImageNet Models Transfer?", CVPR 2022 (arXiv:2111.13445).
Names load on first use: the command line knows its flags before anything imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.transfer._builtin import builtin_task
    from tamis.transfer._images import ImageArray, ImageFiles
    from tamis.transfer._load_task import load_task
    from tamis.transfer._metrics import Scores, mean_per_class, score, top1
    from tamis.transfer._own_tasks import from_folder, from_lists, from_npz, from_tensors
    from tamis.transfer._task import Task
    from tamis.transfer._transforms import PhotoTransform, PixelTransform, Transform

# module -> its public names
_MODULES = {
    "_builtin": ("builtin_task",),
    "_images": ("ImageArray", "ImageFiles"),
    "_load_task": ("load_task",),
    "_metrics": ("Scores", "mean_per_class", "score", "top1"),
    "_own_tasks": ("from_folder", "from_lists", "from_npz", "from_tensors"),
    "_task": ("Task",),
    "_transforms": ("PhotoTransform", "PixelTransform", "Transform"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ImageArray",
    "ImageFiles",
    "PhotoTransform",
    "PixelTransform",
    "Scores",
    "Task",
    "Transform",
    "builtin_task",
    "from_folder",
    "from_lists",
    "from_npz",
    "from_tensors",
    "load_task",
    "mean_per_class",
    "score",
    "top1",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tamis.transfer' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"tamis.transfer.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
