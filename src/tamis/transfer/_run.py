"""One transfer from checkpoint to summary: the run folder and the order of its stages."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tamis.documents import json_object, read_text
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic
from tamis.train import MetricsLog, describe_environment, dump_recipe
from tamis.transfer._fit import fit_full, fit_linear
from tamis.transfer._prepare import prepare
from tamis.transfer._recipe import TransferRecipe
from tamis.transfer._run_record import save_model, save_outputs, save_results, summarise
from tamis.transfer._speed import speed_on_task
from tamis.transfer._support import held_sparsity
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform
from tamis.transfer._zoo import Backbone

OWN_FILES = (
    "recipe.toml", "env.json", "metrics.jsonl", "results.csv", "summary.json", "report.html", "checkpoints", "models",
    "outputs",
)  # fmt: skip
METRICS = "metrics.jsonl"


def run_transfer(
    recipe: TransferRecipe,
    run_folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    backbone: Backbone | None = None,
    task: Task | None = None,
    transform: Transform | None = None,
) -> dict[str, Any]:
    """Move one backbone to one task and leave a complete run folder.

    The folder holds ``recipe.toml`` (resolved, itself a valid recipe), ``env.json``, ``metrics.jsonl``,
    ``results.csv`` (one row per selection rule), ``models/*.safetensors`` (the network with its new head),
    ``outputs/test.npz`` (logits, predictions, labels), ``summary.json``, and ``checkpoints/`` for full fine-tuning.

    Args:
        recipe: the choices.
        run_folder: made if missing.
        resume: go on with a run that was stopped in the folder.
        overwrite: replace an earlier run there (only files that tamis writes are removed).
        backbone: ready backbone in place of ``recipe.model``.
        task: ready task in place of ``recipe.data``.
        transform: ready transform in place of the one that ``recipe`` describes.

    Returns:
        The content of ``summary.json``.

    Raises:
        UsageError: the folder holds a run and neither ``resume`` nor ``overwrite`` is given, or parts do not fit.
        FileError: checkpoint or data cannot be read.
        Interrupted: stopped by Ctrl-C or SIGTERM; full fine-tuning can be resumed.
    """
    folder, start = Path(run_folder), time.perf_counter()
    prepared = prepare(recipe, backbone, task, transform)
    network, task, identity = prepared.backbone, prepared.task, prepared.identity
    _claim(folder, identity, resume, overwrite)
    write_atomic(folder / "recipe.toml", dump_recipe(recipe))
    write_atomic(folder / "env.json", json.dumps(describe_environment() | {"transfer": identity}, indent=2) + "\n")
    with (
        # a linear probe begins anew, full fine-tuning goes on
        MetricsLog(folder / METRICS, keep=_size(folder / METRICS) if recipe.how == "full" else 0) as log,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        log.append({"kind": "backbone", "sparsity": network.state.sparsity, "styles": list(network.state.styles)})
        log.append({"kind": "task", "name": task.name, "train": task.n_train, "test": task.n_test})
        before = held_sparsity(network.model, network.masks, network.head)
        fit = fit_linear if recipe.how == "linear" else fit_full
        fitted = fit(prepared, folder, log)
        speed = None
        if recipe.speed and network.masks:
            full, optimizer = recipe.how == "full", recipe.finetune.optimizer
            speed = speed_on_task(
                network, task, prepared.transform, optimizer=optimizer, full=full, repeats=recipe.repeats
            )
        if speed is not None:
            for row in speed.phases:
                log.append({"kind": "speed", **asdict(row)})
        for outcome in fitted.outcomes:
            log.append({"kind": "outcome", **outcome})
    notes = [*network.state.warnings, *fitted.warnings, *dict.fromkeys(str(item.message) for item in caught)]
    model_file = save_model(prepared, fitted.model, folder)
    save_outputs(folder, task, fitted.logits)
    summary = summarise(prepared, fitted, speed, notes)
    summary |= {"sparsity_before": before, "model_file": model_file, "total_seconds": time.perf_counter() - start}
    save_results(folder, prepared, summary)
    write_atomic(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def has_finished(recipe: TransferRecipe, run_folder: str | os.PathLike[str], *, task: Task | None = None) -> bool:
    """Whether a folder holds the finished transfer of just this recipe, checkpoint and task.

    Raises:
        FileError, UsageError: as :func:`run_transfer`, if the folder holds any finished transfer.
    """
    folder = Path(run_folder)
    if not (folder / "summary.json").is_file():  # written last
        return False
    return _stored_identity(folder) == prepare(recipe, task=task).identity


def _stored_identity(folder: Path) -> str | None:
    """The identity of the transfer in a folder; None if there is none, or no whole one."""
    file = folder / "env.json"
    try:
        return str(json_object(read_text(file, "what a transfer ran on"), str(file)).get("transfer"))
    except FileError:
        return None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _claim(folder: Path, identity: str, resume: bool, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is no folder; expected a folder for the run")
    found = [name for name in OWN_FILES if (folder / name).exists()]
    if resume:
        stored = _stored_identity(folder)
        if stored is None:
            raise UsageError(f"{folder}: holds no transfer that could go on; leave --resume out")
        if stored != identity:
            raise UsageError(
                f"{folder}: was run with another recipe, checkpoint or task; resume with {folder / 'recipe.toml'}, or "
                "start anew in another folder"
            )
        return
    if found and not overwrite:
        raise UsageError(
            f"{folder}: holds a run already ({', '.join(found)}); give --out another folder, --resume to go "
            "on with a run that was stopped, or --overwrite to replace it"
        )
    for name in found:
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
