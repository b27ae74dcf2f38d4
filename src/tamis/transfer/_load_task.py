"""One door to every task: a name, or a path."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tamis.errors import FileError, UsageError
from tamis.transfer._builtin import BUILTIN, builtin_task
from tamis.transfer._own_tasks import from_folder, from_npz, plain_name
from tamis.transfer._registry import REGISTRY
from tamis.transfer._task import Metric, Task


def load_task(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] = "data",
    metric: Metric | None = None,
    any_size: bool = False,
) -> Task:
    """Load a task.

    ``source`` is one of

    - the name of a built-in task, such as ``digits_mirrored``;
    - the name of one of the paper's twelve, such as ``aircraft``, whose archives are unpacked under ``root``; with
      ``any_size`` also a copy that has other numbers of images than the official one;
    - the path of an ``.npz`` file (:func:`from_npz`);
    - the path of a folder of images (:func:`from_folder`).

    A name wins over a file of the same name; write "./aircraft" for the folder.  ``metric`` replaces the task's own.

    Raises ``FileError`` for a file or folder that is missing, damaged or mis-shaped; ``UsageError`` otherwise.
    """
    text = os.fspath(source)
    if not text:
        raise UsageError("task ''; expected a name, an .npz file or a folder of images")
    if text in BUILTIN:
        task = builtin_task(text)
    elif text in REGISTRY:
        task = REGISTRY[text].open(root, any_size=any_size)
    elif Path(text).is_dir():
        task = from_folder(text)
    elif Path(text).suffix.lower() == ".npz":
        task = from_npz(text)
    else:
        raise FileError(
            f"{text}: found no such task, file or folder; expected a path or one of "
            f"{', '.join([*BUILTIN, *REGISTRY])} (see tamis transfer tasks)"
        )
    return task if metric is None else replace(task, metric=metric)


def task_name(source: str | os.PathLike[str]) -> str:
    """The name that :func:`load_task` gives a task, without reading it."""
    text = os.fspath(source)
    if text in BUILTIN or text in REGISTRY:
        return text
    return plain_name(Path(text).stem if Path(text).suffix.lower() == ".npz" else Path(text).resolve().name)
