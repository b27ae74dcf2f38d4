"""One transfer from checkpoint to summary: the run folder and the order of its stages."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shlex
import shutil
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tamis.documents import json_object, read_text
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic
from tamis.train import Interrupted, MetricsLog, StopRequest, describe_environment, dump_recipe
from tamis.transfer._features import cached_features
from tamis.transfer._finetune import fine_tune
from tamis.transfer._inputs import input_transform
from tamis.transfer._load_task import load_task
from tamis.transfer._probe_lbfgs import GRID, LbfgsOptions, fit_lbfgs
from tamis.transfer._probe_sgd import SgdOptions, fit_sgd
from tamis.transfer._recipe import TransferRecipe
from tamis.transfer._run_record import Fitted, save_model, save_outputs, save_results, summarise
from tamis.transfer._seeds import derived_seed
from tamis.transfer._speed import speed_on_task
from tamis.transfer._support import held_sparsity
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform
from tamis.transfer._zoo import Backbone, load_backbone
from tamis.transfer._zoo_style import styles_with

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
    network, task, transform, identity = _prepared(recipe, backbone, task, transform)
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
        fit = _linear if recipe.how == "linear" else _full
        fitted = fit(recipe, network, task, transform, folder, log, identity)
        speed = None
        if recipe.speed and network.masks:
            full, optimizer = recipe.how == "full", recipe.finetune.optimizer
            speed = speed_on_task(network, task, transform, optimizer=optimizer, full=full, repeats=recipe.repeats)
        if speed is not None:
            for row in speed.phases:
                log.append({"kind": "speed", **asdict(row)})
        for outcome in fitted.outcomes:
            log.append({"kind": "outcome", **outcome})
    notes = [*network.state.warnings, *fitted.warnings, *dict.fromkeys(str(item.message) for item in caught)]
    model_file = save_model(recipe, network, task, fitted.model, folder)
    save_outputs(folder, task, fitted.logits)
    summary = summarise(recipe, network, task, transform, fitted, speed, notes)
    summary |= {"sparsity_before": before, "model_file": model_file, "total_seconds": time.perf_counter() - start}
    save_results(folder, recipe, summary, identity)
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
    return _stored_identity(folder) == _prepared(recipe, None, task, None)[-1]


def _prepared(
    recipe: TransferRecipe, backbone: Backbone | None, task: Task | None, transform: Transform | None
) -> tuple[Backbone, Task, Transform, str]:
    """What a transfer is made of, and its identity."""
    if (backbone is None and not recipe.model) or (task is None and not recipe.data):
        raise UsageError("a transfer needs a backbone and data: give --model CHECKPOINT and --data FOLDER_OR_NPZ")
    network = backbone or load_backbone(
        recipe.model,
        recipe.arch,
        min_zero_fraction=recipe.min_zero_fraction,
        styles=styles_with(recipe.style),
    )
    task = task or load_task(recipe.data, root=recipe.root)
    if recipe.metric != "task":
        task = replace(task, metric=recipe.metric)
    transform = transform or input_transform(
        task, network.architecture, size=recipe.size, norm=recipe.norm, interpolation=network.state.interpolation
    )
    return network, task, transform, _identity(recipe, network, task, transform)


def _linear(
    recipe: TransferRecipe,
    backbone: Backbone,
    task: Task,
    transform: Transform,
    folder: Path,
    log: MetricsLog,
    identity: str,
) -> Fitted:
    start = time.perf_counter()
    cache = None if recipe.cache == "none" else Path(recipe.cache or folder.parent / "features")
    features = cached_features(
        cache,
        backbone.state.sha256(),
        backbone.model,
        task,
        transform,
        masks=backbone.masks,
        head=backbone.head,
        bn_refresh=recipe.probe.bn_refresh,
    )
    extracted = time.perf_counter()
    log.append({"kind": "features", "cached": features.cached, "width": features.width})
    parts = (features.train_x, features.train_y, features.test_x, features.test_y, task.num_classes)
    options = recipe.probe
    if options.solver == "lbfgs":
        grid = LbfgsOptions(grid=GRID[:: options.grid_step], standardise=options.standardise)
        results = [fit_lbfgs(*parts, task.validation(), metric=task.metric, options=grid)]
    else:
        results = list(
            fit_sgd(
                *parts,
                seed=derived_seed(task.name, recipe.seed, "head"),
                validation=task.validation() if options.validate else None,
                metric=task.metric,
                options=SgdOptions(
                    epochs=options.epochs, batch_size=options.batch_size, lr=options.lr, schedule=options.schedule
                ),
                paper_best_test=options.paper_best_test,
            )
        )
    for row in (row for result in results for row in result.validation):
        log.append({"kind": "candidate", **row})
    model = copy.deepcopy(backbone.model)
    parent, _, leaf = backbone.head.rpartition(".")
    setattr(model.get_submodule(parent), leaf, results[0].head())
    # epochs count from 1 for people
    chosen = [{k: (v + 1 if k == "epoch" else v) for k, v in result.chosen.items()} for result in results]
    outcomes = [
        {"selection": result.selection, **own, **asdict(result.test)}
        for result, own in zip(results, chosen, strict=True)
    ]
    seconds = {"extract": extracted - start, "fit": time.perf_counter() - extracted}
    return Fitted(
        model,
        outcomes,
        results[0].logits,
        held_sparsity(model, backbone.masks, backbone.head),
        seconds,
        {"features_cached": features.cached, **chosen[0]},
        results[0].warnings,
    )


def _full(
    recipe: TransferRecipe,
    backbone: Backbone,
    task: Task,
    transform: Transform,
    folder: Path,
    log: MetricsLog,
    identity: str,
) -> Fitted:
    start = time.perf_counter()
    try:
        with StopRequest() as stop:
            tuned = fine_tune(
                backbone.model,
                backbone.masks,
                task,
                transform,
                recipe.finetune,
                seed=recipe.seed,
                head=backbone.head,
                folder=folder / "checkpoints",
                recipe=identity,
                stop=stop,
                log=log.append,
            )
    except Interrupted as stopped:
        raise Interrupted(
            f"{stopped}; go on with: tamis transfer run {shlex.quote(str(folder / 'recipe.toml'))} --resume "
            f"--out {shlex.quote(str(folder))}"
        ) from None
    outcomes = [
        {"selection": outcome.selection, "epoch": outcome.epoch + 1, **asdict(outcome.test)}
        for outcome in tuned.outcomes
    ]
    chosen = {"lr": tuned.lr, "rates": tuned.rates, "history": list(tuned.history)}
    seconds = {"extract": 0.0, "fit": time.perf_counter() - start, "steps": tuned.train_seconds}
    return Fitted(tuned.model, outcomes, tuned.outcomes[0].logits, tuned.sparsity_after, seconds, chosen, ())


def _identity(recipe: TransferRecipe, backbone: Backbone, task: Task, transform: Transform) -> str:
    """Digest of all that decides the numbers: a run is only resumed with the same."""
    # where files lie and what is measured beside them does not matter
    plain = replace(recipe, model="", data="", root="", style="", cache="", speed=True, repeats=5)
    parts = (dump_recipe(plain), backbone.state.sha256(), task.name, task.fingerprint, task.metric, transform.id)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


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
