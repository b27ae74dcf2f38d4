"""What a transfer leaves in its run folder: the model, its outputs, rows of the results table, the summary."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tamis
from tamis.storage import write_atomic
from tamis.train import describe_environment, dump_recipe, export_model
from tamis.transfer._channels import channel_statistics
from tamis.transfer._finetune_options import FineTuneOptions
from tamis.transfer._prepare import Prepared
from tamis.transfer._recipe import ProbeOptions, TransferRecipe
from tamis.transfer._results import Row, Table
from tamis.transfer._speed import SpeedReport
from tamis.transfer._task import Task
from tamis.transfer._zoo import Backbone


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a kind of transfer leaves: the final network, one entry per selection rule, and its record."""

    model: nn.Module
    outcomes: list[dict[str, Any]]
    logits: Tensor
    sparsity_after: float
    seconds: dict[str, float]
    chosen: dict[str, Any]
    warnings: tuple[str, ...]


def recipe_hash(recipe: TransferRecipe) -> str:
    """sha256 of the choices apart from model, task and seed: the column ``recipe_hash`` of the results.

    Options of the other kind do not count: another rate of full fine-tuning leaves linear probes as they are.
    """
    plain = replace(
        recipe, model="", data="", root="", style="", arch="auto", method="", cache="", speed=True, repeats=5, seed=0
    )
    if recipe.how == "linear":
        plain = replace(plain, finetune=FineTuneOptions())
    else:
        plain = replace(plain, probe=ProbeOptions())
    return hashlib.sha256(dump_recipe(plain).encode()).hexdigest()


def save_model(prepared: Prepared, model: nn.Module, folder: Path) -> str:
    """Write the network with its new head, sparse layers packed; returns the file's path in the run folder."""
    backbone, task = prepared.backbone, prepared.task
    form = "sparse" if backbone.masks else "dense"
    header = {
        "architecture": {**backbone.architecture, "num_classes": task.num_classes} if backbone.architecture else {},
        "method": _method(prepared.recipe, backbone),
        "sparsity": _nominal(backbone),
        "classes": [str(name) for name in task.classes],
    }
    file = export_model(model, folder / "models" / f"{form}.safetensors", form, header)  # type: ignore[arg-type]
    return str(file.relative_to(folder))


def save_outputs(folder: Path, task: Task, logits: Tensor) -> None:
    """Write ``outputs/test.npz``: float32 logits (n, K), int64 predictions and labels (n,), names of the classes."""
    stream = io.BytesIO()
    np.savez(
        stream,
        logits=logits.numpy().astype(np.float32),
        predictions=logits.argmax(1).numpy(),
        labels=task.labels("test").numpy(),
        classes=np.array([str(name) for name in task.classes]),
    )
    write_atomic(folder / "outputs" / "test.npz", stream.getvalue())


def _method(recipe: TransferRecipe, backbone: Backbone) -> str:
    if not backbone.masks:
        return recipe.method or "dense"  # the dense half of a pair names the method of both
    return recipe.method or str(backbone.state.provenance.get("method", "")) or "unknown"


def _nominal(backbone: Backbone) -> float:
    """The sparsity that was asked for where the file says so, else the measured one, rounded to a thousandth."""
    stated = backbone.state.provenance.get("sparsity")
    if backbone.masks and isinstance(stated, int | float) and stated:
        return float(stated)
    return round(backbone.state.sparsity, 3)


def summarise(prepared: Prepared, fitted: Fitted, speed: SpeedReport | None, notes: list[str]) -> dict[str, Any]:
    """The content of summary.json but for times and files: JSON types."""
    recipe, backbone, task = prepared.recipe, prepared.backbone, prepared.task
    best, state = fitted.outcomes[0], backbone.state
    return {
        "kind": "transfer",
        "how": recipe.how,
        "task": task.name,
        "classes": [str(name) for name in task.classes],
        "train_images": task.n_train,
        "test_images": task.n_test,
        "metric": task.metric,
        "top1": best["top1"],
        "mean_per_class": best["mean_per_class"],
        "outcomes": fitted.outcomes,
        "sparsity_after": fitted.sparsity_after,
        "chosen": fitted.chosen,
        "seconds": fitted.seconds,
        "speed": speed.summary() if speed is not None else None,
        "channels": channel_statistics(fitted.model).summary(),
        "backbone": {
            "file": state.file.name,
            "sha256": state.sha256(),
            "styles": list(state.styles),
            "architecture": dict(backbone.architecture),
            "method": _method(recipe, backbone),
            "sparsity": _nominal(backbone),
            "layers": [row.row() for row in state.layers],
        },
        "transform": prepared.transform.id,
        "split_sha256": task.split_sha256,
        "recipe_hash": recipe_hash(recipe),
        "seed": recipe.seed,
        "warnings": notes,
        "versions": describe_environment()["versions"] | {"tamis": tamis.__version__},
    }


def save_results(folder: Path, prepared: Prepared, summary: dict[str, Any]) -> None:
    """One row of the results table for each selection rule; the table of a run folder is written anew."""
    (folder / "results.csv").unlink(missing_ok=True)
    backbone = summary["backbone"]
    with Table.open(folder / "results.csv") as table:
        for outcome in summary["outcomes"]:
            table.append(
                Row(
                    arch=str(backbone["architecture"].get("name", "own")),
                    kind=prepared.recipe.how,
                    method=backbone["method"],
                    sparsity=backbone["sparsity"],
                    task=summary["task"],
                    seed=str(prepared.recipe.seed),
                    value=outcome[summary["metric"]],
                    metric=summary["metric"],
                    top1=outcome["top1"],
                    mean_per_class=outcome["mean_per_class"],
                    sparsity_before=summary["sparsity_before"],
                    sparsity_after=summary["sparsity_after"],
                    selection=outcome["selection"],
                    epoch=int(outcome.get("epoch", 0)),
                    c=float(outcome.get("C", float("nan"))),
                    n_test=summary["test_images"],
                    split_sha=summary["split_sha256"],
                    recipe_hash=summary["recipe_hash"],
                    transform_id=summary["transform"],
                    checkpoint_sha=backbone["sha256"],
                    extract_s=summary["seconds"]["extract"],
                    train_s=summary["seconds"]["fit"],
                    device="cpu",
                    threads=torch.get_num_threads(),
                    versions=" ".join(f"{name}={version}" for name, version in summary["versions"].items()),
                    run_id=prepared.identity[:12],
                )
            )
