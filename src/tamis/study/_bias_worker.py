"""What a process of the pool does for one cell of a bias study: prepare the data, train, collect, write."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from tamis.audit import collect
from tamis.data import AttributeData, attribute_loader, load_attribute_data, plant
from tamis.errors import UsageError
from tamis.nn import quantise_weights
from tamis.storage import write_atomic
from tamis.study._bias_cells import BiasCell, parse_cell
from tamis.study._bias_description import BiasData, PlantedFeature
from tamis.study._worker import LOG, serve_jobs
from tamis.train import describe_environment, export_model, load_model, measured_sparsity, train_attributes

CELL, SUMMARY, MODEL = "cell.json", "summary.json", "model.safetensors"
SPLITS = ("valid", "test")


def serve() -> None:
    """Train the cells that stdin asks for."""
    serve_jobs(run_bias_job)


def run_bias_job(text: str, folder: Path) -> dict[str, Any]:
    """Train the cell ``text`` and leave its outputs in ``folder``; what it writes on stderr goes to log.txt there.

    Returns:
        ``{"state": "done"}``, ``{"state": "stopped"}`` or ``{"state": "failed", "error": ...}``, whatever went wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
        try:
            train_cell(parse_cell(text), folder)
        except KeyboardInterrupt:
            return {"state": "stopped"}
        except Exception as error:
            return {"state": "failed", "error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    return {"state": "done"}


def train_cell(cell: BiasCell, folder: Path) -> None:
    """Write ``outputs_valid.npz``, ``outputs_test.npz``, ``model.safetensors``, ``cell.json`` and, last of all,
    ``summary.json``.

    Raises:
        FileError: the cell that it starts from was not trained.
        UsageError: the data have no such attribute.
    """  # fmt: skip
    data = data_of(cell.data, cell.planted)
    start, _ = load_model(folder.parent / cell.start / MODEL) if cell.start else (None, None)
    if cell.bits:
        if start is None:
            raise UsageError(f"cell {cell.name} rounds weights and names no cell to take them from")
        model: nn.Module = quantise_weights(start, cell.bits).eval()
        facts: dict[str, Any] = {"steps": 0, "cpu_s": 0.0, "wall_s": 0.0, "loss": None, "warnings": []}
        targets, level, axis = cell.recipe.targets or data.attributes, float(cell.bits), "bits"
        architecture: Mapping[str, Any] = {
            "name": cell.recipe.model,
            "num_classes": len(targets),
            "in_channels": data.in_channels,
            "image_size": list(data.image_size),
        }
    else:
        run = train_attributes(cell.recipe, data, None if start is None else start.state_dict())
        facts = {"steps": run.steps, "cpu_s": round(run.cpu_s, 2), "wall_s": round(run.wall_s, 2),
                 "loss": run.loss, "warnings": list(run.warnings)}  # fmt: skip
        model, targets, level, axis, architecture = run.model, run.targets, run.sparsity, "sparsity", run.architecture
    for split in SPLITS:
        outputs = collect(
            model,
            attribute_loader(data, split),
            names=targets,
            name=cell.recipe.model,
            method=cell.method,
            level=level,
            axis=axis,  # type: ignore[arg-type]
            seed=cell.recipe.seed,
            meta={"data": data.name, "split": split, "setup": cell.setup, "subject": cell.subject,
                  "recipe": _recipe(cell)},
        )  # fmt: skip
        outputs.save(folder / f"outputs_{split}.npz")
    export_model(model, folder / MODEL, "dense" if cell.bits else "sparse", {"architecture": architecture})
    write_atomic(folder / CELL, cell.text())
    summary = {**facts, "sparsity": measured_sparsity(model), "targets": list(targets), "env": describe_environment()}
    write_atomic(folder / SUMMARY, json.dumps(summary, indent=1) + "\n")


def _recipe(cell: BiasCell) -> dict[str, Any]:
    """What a dense and a pruned run must share: all of the recipe but the sparsity and the seed."""
    return {key: value for key, value in asdict(cell.recipe).items() if key not in ("sparsity", "seed", "targets")}


def is_trained(cell: BiasCell, folder: Path) -> bool:
    """Whether ``folder`` holds the finished run of just this cell."""
    try:
        return (folder / SUMMARY).is_file() and (folder / CELL).read_text(encoding="utf-8") == cell.text()
    except (FileNotFoundError, UnicodeDecodeError):
        return False


@lru_cache(maxsize=2)
def original_data(source: BiasData) -> AttributeData:
    """The images of a study without planted features."""
    return load_attribute_data(source.kind, source.path, seed=source.seed, images=source.images)


@lru_cache(maxsize=2)
def data_of(source: BiasData, planted: PlantedFeature | None) -> AttributeData:
    """The images of a cell."""
    data = original_data(source)
    if planted is None:
        return data
    neg, pos = planted.train
    colour = planted.colour if planted.kind == "yellow_square" else (1.0, 1.0, 0.0)
    return plant(data, planted.attribute, planted.kind, train=(neg, pos), colour=colour)
