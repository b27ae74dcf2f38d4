"""The process that trains cells: it reads jobs as JSON lines from stdin and answers each with one line on stdout.

When its stdin ends, because the study is done or was killed, the process ends at once, in the middle of a step if need
be: two processes must never train in one folder.  The last checkpoint is whole then, as after any crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tamis.documents import read_text
from tamis.train import fit, parse_recipe

LOG = "log.txt"
FINISHED, LAST = "summary.json", Path("checkpoints", "last.safetensors")


def serve() -> None:
    """Train the recipes that stdin asks for."""
    serve_jobs(run_job)


def serve_jobs(work: Callable[[str, Path], dict[str, Any]]) -> None:
    """Do what stdin asks for, until it ends or a signal stops a training.

    Args:
        work: takes the text of a job and its folder; returns an answer, see :func:`run_job`.
    """
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints now cannot disturb the answers
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    answer: dict[str, Any] = {}
    while answer.get("state") != "stopped":
        job = json.loads(jobs.get())
        answer = work(job["recipe"], Path(job["folder"]))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _read(jobs: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def run_job(text: str, folder: Path) -> dict[str, Any]:
    """Train the recipe ``text`` in ``folder``, or go on from its checkpoint; what it writes on stderr goes to log.txt.

    Returns:
        ``{"state": "done"}``, ``{"state": "stopped"}`` after SIGTERM or Ctrl-C, or
        ``{"state": "failed", "error": ...}`` whatever went wrong: one cell must not take the others with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
        try:
            recipe = parse_recipe(text)
            resume = (folder / LAST).is_file()
            fit(recipe, folder, resume=resume, overwrite=not resume)
        except KeyboardInterrupt:
            return {"state": "stopped"}
        except Exception as error:
            return {"state": "failed", "error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    return {"state": "done"}


def is_finished(text: str, folder: Path) -> bool:
    """Whether ``folder`` holds the finished run of the recipe ``text``."""
    return (folder / FINISHED).is_file() and stored_recipe(folder) == text


def stored_recipe(folder: Path) -> str | None:
    """The text of the recipe that was trained in ``folder``; None if there is none."""
    file = folder / "recipe.toml"
    return read_text(file, "the recipe of a cell") if file.exists() else None
