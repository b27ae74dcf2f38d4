"""One run from recipe to summary: the run folder, resuming, and the order of its stages."""

from __future__ import annotations

import json
import os
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data import ImageData
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic
from tamis.train._checkpoint import Checkpoint, load_checkpoint
from tamis.train._environment import describe_environment
from tamis.train._finish import finish
from tamis.train._interrupt import Interrupted, StopRequest
from tamis.train._loop import LAST, train
from tamis.train._metrics import MetricsLog, NoLog
from tamis.train._notes import noted_warnings
from tamis.train._ranks import RankError, Ranks, joined
from tamis.train._recipe import Recipe
from tamis.train._recipe_toml import dump_recipe, save_recipe
from tamis.train._run import Run, load_recipe_data

METRICS = "metrics.jsonl"
OWN_FILES = ("recipe.toml", "env.json", METRICS, "summary.json", "report.html", "checkpoints", "models", "transfer")


def fit(
    recipe: Recipe,
    run_folder: str | os.PathLike[str],
    *,
    data: ImageData | None = None,
    weights: Checkpoint | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train what a recipe describes and leave a complete run folder.

    The folder holds ``recipe.toml`` (resolved, itself a valid recipe), ``env.json``, ``metrics.jsonl``,
    ``checkpoints/last.safetensors``, ``models/*.safetensors`` and ``summary.json``.  Ctrl-C finishes the step and
    writes a checkpoint.

    In a job that ``torchrun`` started, the processes train one model: each takes its part of every batch (the batch
    size of the recipe is that of all together), and the first one writes the folder.  A run may be resumed with another
    number of processes.

    Args:
        recipe: the choices.
        run_folder: made if missing.
        data: ready data; None loads ``recipe.data.source``.
        weights: a checkpoint to start from instead of fresh weights.
        resume: go on from ``checkpoints/last.safetensors``; equals the uninterrupted run bit for bit on one thread.
        overwrite: replace an earlier run in the folder (only files that tamis writes are removed).

    Returns:
        The content of ``summary.json``; empty in the processes of a job that are not the first.

    Raises:
        UsageError: the folder holds a run and neither ``resume`` nor ``overwrite`` is given, the recipe to resume
            differs from the stored one, or parts of the recipe do not fit each other.
        FileError: data or checkpoint cannot be read.
        Interrupted: stopped by Ctrl-C or SIGTERM; the folder can be resumed.
        RankError: another process of the job is gone, or has other masks; the last checkpoint can be resumed.

    A disk that is full or read-only is a FileError too; the last checkpoint is whole then and can be resumed.
    """
    with joined() as ranks:
        try:
            return _fit(recipe, Path(run_folder), data, weights, resume, overwrite, ranks)
        except Interrupted as stopped:
            raise Interrupted(f"{stopped}; {_go_on(run_folder)}") from None
        except RankError as error:
            raise RankError(f"{error}; {_go_on(run_folder)}") from error
        except OSError as error:
            saved = (Path(run_folder) / "checkpoints" / LAST).is_file()
            remedy = f"the last checkpoint is whole: {_go_on(run_folder)}" if saved else "nothing was trained yet"
            raise FileError(
                f"{error.filename or run_folder}: {error.strerror}; free the disk or make it writable; {remedy}"
            ) from error


def _fit(
    recipe: Recipe,
    folder: Path,
    data: ImageData | None,
    weights: Checkpoint | None,
    resume: bool,
    overwrite: bool,
    ranks: Ranks,
) -> dict[str, Any]:
    if data is None:
        data = load_recipe_data(recipe)
    checkpoint = _stored(recipe, folder) if resume else None
    if not resume and ranks.leads:
        _claim(folder, overwrite)
    random.seed(recipe.train.seed)
    np.random.seed(recipe.train.seed % 2**32)  # noqa: NPY002 - for code of users and libraries that draws from it
    with warnings.catch_warnings(record=True) as early:  # what a method says when it is attached
        run = Run(recipe, data, weights, checkpoint, ranks)
    if checkpoint is not None:
        run.restore(checkpoint)
    if ranks.leads:
        save_recipe(recipe, folder / "recipe.toml")
        write_atomic(folder / "env.json", json.dumps(describe_environment(), indent=2) + "\n")
    with (
        StopRequest() as stop,
        MetricsLog(folder / METRICS, keep=run.progress.log_bytes) if ranks.leads else NoLog() as log,
        noted_warnings(log, aloud=ranks.leads),
    ):
        for warning in early if checkpoint is None else ():
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        try:
            train(run, log, folder / "checkpoints", stop)
            ranks.wait()  # nobody leaves while another still sends; the first finishes alone, however long it takes
        except Interrupted:
            ranks.wait()  # all have stopped behind the same step
            raise
        finally:
            run.leave_job()
        return finish(run, folder, log, stop) if ranks.leads else {}


def _go_on(folder: str | os.PathLike[str]) -> str:
    path = Path(folder)
    return f"go on with: tamis train {path / 'recipe.toml'} --resume --out {path}"


def _stored(recipe: Recipe, folder: Path) -> Checkpoint:
    """The checkpoint to resume from; UsageError if another recipe wrote it."""
    file = folder / "checkpoints" / LAST
    if folder.is_dir() and not file.exists():
        raise FileError(
            f"{file}: no such file, so nothing was trained yet; start with --overwrite in place of --resume"
        )
    checkpoint = load_checkpoint(file)
    here, there = dump_recipe(recipe).splitlines(), str(checkpoint.header.get("recipe", "")).splitlines()
    if here != there:
        changed = [line for line in here if line not in there] or [line for line in there if line not in here]
        raise UsageError(
            f"{folder}: was trained with another recipe, this one differs in {'; '.join(changed[:3])}; resume with "
            f"{folder / 'recipe.toml'}, or start anew in another folder"
        )
    return checkpoint


def _claim(folder: Path, overwrite: bool) -> None:
    found = [name for name in OWN_FILES if (folder / name).exists()]
    if found and not overwrite:
        raise UsageError(f"{folder}: holds a run already ({', '.join(found)}); use --resume, or --out another folder")
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is no folder; expected a folder for the run")
    for name in found:
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
