"""The end of a run: the pair, its dense twin, the measured step, the model files and summary.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

import tamis
from tamis.data import normalise
from tamis.kernels import choices
from tamis.methods import DensePair
from tamis.models import create_model
from tamis.nn import prunable_modules
from tamis.storage import write_atomic
from tamis.train._diary import dense_size
from tamis.train._environment import describe_environment
from tamis.train._evaluate import Evaluation, evaluate
from tamis.train._export import export_model
from tamis.train._interrupt import StopRequest
from tamis.train._loop import epoch_batches
from tamis.train._metrics import MetricsLog, read_metrics
from tamis.train._run import Run
from tamis.train._speed import StepSpeed, measure_step
from tamis.train._twin import train_dense_twin


@dataclass(frozen=True)
class Models:
    """What a run has trained: a dense model, a sparse one (all layers dense tensors with exact zeros), or both."""

    dense: nn.Module | None
    sparse: nn.Module | None


def finish(run: Run, folder: Path, log: MetricsLog, stop: StopRequest) -> dict[str, Any]:
    """Write ``models/*.safetensors`` and ``summary.json`` of a trained run; returns the summary.

    Args:
        run: trained to its last epoch.
        folder: the run folder.
        log: receives the rows of the dense twin and of the measured step.
        stop: looked at while the twin trains.

    Raises:
        Interrupted: ``stop`` was requested during the twin's training.
        OSError: a file cannot be written.
    """
    models = trained_models(run, log, stop)
    header: dict[str, Any] = {
        "architecture": run.architecture,
        "method": run.recipe.method,
        "sparsity": run.recipe.sparsity,
    }
    header |= {"classes": [str(name) for name in run.data.classes]}
    sizes: dict[str, int | None] = {"dense": None, "sparse": None}
    for form, model in (("dense", models.dense), ("sparse", models.sparse)):
        if model is not None:
            file = export_model(model, folder / "models" / f"{form}.safetensors", form, header)  # type: ignore[arg-type]
            sizes[form] = file.stat().st_size
    speed = None
    if models.sparse is not None:
        if sizes["dense"] is None:  # the same network stored dense, for the comparison of sizes
            file = export_model(models.sparse, folder / "models" / "dense_form.safetensors", "dense", header)
            sizes["dense"] = file.stat().st_size
        images, labels = next(iter(epoch_batches(run.recipe, run.data, 0)))
        speed = measure_step(models.sparse, run.sparsifier.masks, images, labels, run.recipe.optimizer)
        log.append(speed.row())
    notes = [row["text"] for row in read_metrics(log.path) if row["kind"] == "note"]
    summary = {**summarise(run, models, sizes, speed), "warnings": notes}
    write_atomic(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def trained_models(run: Run, log: MetricsLog, stop: StopRequest) -> Models:
    """The final models as independent plain copies; an AC/DC run has two, and trains the dense twin here."""
    if run.sparsifier is None:
        return Models(plain_model(run), None)
    run.sparsifier.conclude()
    if run.recipe.method != "acdc":
        return Models(None, plain_model(run))
    dense, sparse = run.sparsifier.pair()
    if run.recipe.train.dense_twin_epochs:
        start = run.sparsifier.dense_twin_state()
        dense = train_dense_twin(run.recipe, run.data, dense, start, stop, log.append)
    return Models(dense, sparse)


def plain_model(run: Run) -> nn.Module:
    """An independent copy of the present model: dense layers, no hooks."""
    model = create_model(**run.architecture)
    model.load_state_dict(run.model.state_dict())
    return model


def summarise(run: Run, models: Models, sizes: dict[str, int | None], speed: StepSpeed | None) -> dict[str, Any]:
    """The content of summary.json: plain JSON types, None where this kind of run has no such number."""
    seen = {name: _evaluate(run, model) for name, model in vars(models).items()}
    pair, held_out = None, normalise(run.data.test_x, run.data.mean, run.data.std)
    if models.dense is not None and models.sparse is not None:
        pair = DensePair(models.dense, models.sparse).metrics(held_out)
    report = run.sparsifier.report() if run.sparsifier is not None else {}
    return {
        "recipe": run.recipe.name,
        "method": run.recipe.method,
        "data": run.data.name,
        "source": asdict(run.recipe.source),
        "accuracy_dense": seen["dense"] and seen["dense"].accuracy,
        "accuracy_sparse": seen["sparse"] and seen["sparse"].accuracy,
        "loss_dense": seen["dense"] and seen["dense"].loss,
        "loss_sparse": seen["sparse"] and seen["sparse"].loss,
        "held_out_samples": len(run.data.test_y),
        "sparsity_requested": run.recipe.sparsity,
        "sparsity": report.get("sparsity", 0.0),
        "sparsity_over_pruned": report.get("sparsity_over_pruned", 0.0),
        "sparsity_over_all": report.get("sparsity_over_all", 0.0),
        "step_ms_dense": speed and speed.dense_cpu_ms,
        "step_ms_sparse": speed and speed.sparse_cpu_ms,
        "step_wall_ms_dense": speed and speed.dense_wall_ms,
        "step_wall_ms_sparse": speed and speed.sparse_wall_ms,
        "bytes_dense": sizes["dense"],
        "bytes_sparse": sizes["sparse"],
        "flops": {"rows": run.sparsifier.ledger(held_out[:1])} if run.sparsifier is not None else {},
        "pair": asdict(pair) if pair is not None else {},
        "layers": report.get("layers") or _dense_layers(run.model),
        "best": run.progress.best,
        "epochs": run.progress.epoch,
        "steps": run.progress.step,
        "choices": choices.table(),
        "versions": describe_environment()["versions"] | {"tamis": tamis.__version__},
    }


def _evaluate(run: Run, model: nn.Module | None) -> Evaluation | None:
    return evaluate(model, run.data) if model is not None else None


def _dense_layers(model: nn.Module) -> list[dict[str, Any]]:
    sizes = {name: dense_size(layer) for name, layer in prunable_modules(model).items()}
    return [{"name": name, "live": size, "total": size, "sparsity": 0.0} for name, size in sizes.items()]
