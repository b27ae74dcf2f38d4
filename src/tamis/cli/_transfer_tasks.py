"""``tamis transfer tasks``: which tasks there are, and whether the files of one are in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from tamis.cli._arguments import parse, show


@dataclass(frozen=True)
class TasksCommand:
    """List the tasks that tamis knows by name; with TASK, read that one and show its split.

    TASK may also be an .npz file or a folder of images.
    """

    task: Annotated[str, tyro.conf.Positional] = ""
    """A name, an .npz file or a folder; without it all names are listed."""
    root: str = "data"
    """Folder of the unpacked archives."""
    any_size: bool = False
    """Accept other numbers of images than those of the official archive."""
    json: bool = False
    """Print one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(TasksCommand, arguments, "tamis transfer tasks")
    if options.task:
        return _one(options)
    from tamis.bench import render_table
    from tamis.transfer import BUILTIN, REGISTRY

    rows: list[dict[str, Any]] = [
        {
            "task": known.name,
            "data set": known.title,
            "classes": known.classes,
            "train": known.n_train,
            "test": known.n_test,
            "metric": known.metric,
            "split": known.rule,
            "found": str(known.find(options.root) or ""),
        }
        for known in REGISTRY.values()
    ]
    builtin = [{"task": name, "what": what} for name, (_, what) in BUILTIN.items()]
    text = (
        f"{render_table(rows)}\n\nwithout a download:\n{render_table(builtin)}\n\n"
        "tamis transfer tasks NAME --root DIR reads one and checks its sizes; DIR holds the unpacked archives."
    )
    show({"tasks": rows, "builtin": builtin}, text, options.json)
    return 0


def _one(options: TasksCommand) -> int:
    from tamis.transfer import load_task

    task = load_task(options.task, root=options.root, any_size=options.any_size)
    chooses = "the official validation set" if task.official_val is not None else "every fifth image of each class"
    found = {
        "task": task.name,
        "classes": task.num_classes,
        "train": task.n_train,
        "test": task.n_test,
        "metric": task.metric,
        "validation": int(task.validation().sum()),
        "validation_rule": chooses,
        "split_sha256": task.split_sha256,
    }
    text = "\n".join(f"{name:<16}{value}" for name, value in found.items())
    show(found, text, options.json)
    return 0
