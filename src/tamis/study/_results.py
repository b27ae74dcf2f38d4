"""One row of numbers per cell, from its run folder to a CSV file and back."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tamis.documents import csv_records, json_object, read_finished, read_text
from tamis.errors import FileError
from tamis.study._cells import Cell
from tamis.study._description import BASELINE
from tamis.train import load_checkpoint, read_metrics


@dataclass(frozen=True)
class CellResult:
    """What one cell has shown; numbers are NaN and texts empty where there is nothing to say.

    Attributes:
        state: ``done``, ``failed`` (see ``error``) or ``open``: not trained yet.
        sparsity: achieved fraction of zeros over the prunable weights.
        accuracy: share of the held-out images that the final model (the sparse one, but for dense) gets right.
        loss: held-out cross-entropy in nats.
        train_cpu_s: CPU seconds of all training steps, mask changes and estimates inside ``optimizer.step`` included;
            evaluation, and what a method does before the first step, are not in it.
        wall_over_cpu: wall over CPU time of the steps; well above 1, other work shared the processor.
        step_dense_cpu_ms: CPU milliseconds of a training step of the final sparse model in dense torch.
        step_packed_cpu_ms: the same on the sparse kernels.
        train_flops: FLOPs of the training over those of dense training, counting weights that may live.
        train_flops_nonzero: the same, counting weights that are not exactly zero.
        forward_flops: FLOPs of inference over those of the dense model.
        layers_packed: layers that ran on the sparse kernels when the training ended.
        load: load average of the last minute when the cell began.
    """

    study: str
    cell: str
    method: str
    sparsity_requested: float
    seed: int
    state: str = "open"
    sparsity: float = math.nan
    accuracy: float = math.nan
    loss: float = math.nan
    held_out: float = math.nan
    epochs: float = math.nan
    train_cpu_s: float = math.nan
    wall_over_cpu: float = math.nan
    step_dense_cpu_ms: float = math.nan
    step_packed_cpu_ms: float = math.nan
    train_flops: float = math.nan
    train_flops_nonzero: float = math.nan
    forward_flops: float = math.nan
    layers_packed: float = math.nan
    load: float = math.nan
    error: str = ""


NUMBERS = {item.name for item in fields(CellResult) if item.type == "float"}


def unfinished(study: str, cell: Cell, error: str = "") -> CellResult:
    """The row of a cell that has no result: failed if there is an ``error``, else open."""
    state = "failed" if error else "open"
    return CellResult(study, cell.name, cell.method, cell.sparsity, cell.seed, state=state, error=error)


def read_result(study: str, cell: Cell, folder: Path) -> CellResult:
    """The row of a finished cell.

    Raises:
        FileError: a file of the run folder is missing or damaged.
    """
    try:
        summary = _object(folder / "summary.json")
        load = _object(folder / "env.json")["load_average"]
        epochs = [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] == "epoch"]
        final = "dense" if cell.method == BASELINE else "sparse"
        ledger = {(row["row"], row["count"]): row["fraction"] for row in summary["flops"].get("rows", [])}
        whole = 1.0 if cell.method == BASELINE else math.nan
        packed = load_checkpoint(folder / "checkpoints" / "last.safetensors").header["shapes"]
        return CellResult(
            study,
            cell.name,
            cell.method,
            cell.sparsity,
            cell.seed,
            state="done",
            sparsity=_number(summary["sparsity"]),
            accuracy=_number(summary[f"accuracy_{final}"]),
            loss=_number(summary[f"loss_{final}"]),
            held_out=_number(summary["held_out_samples"]),
            epochs=_number(summary["epochs"]),
            train_cpu_s=round(training_cpu_s(epochs), 2),
            wall_over_cpu=round(
                sum(row["wall_s"] for row in epochs) / max(sum(row["cpu_s"] for row in epochs), 1e-9), 3
            )
            if epochs
            else math.nan,
            step_dense_cpu_ms=_number(summary["step_ms_dense"]),
            step_packed_cpu_ms=_number(summary["step_ms_sparse"]),
            train_flops=_number(ledger.get(("training", "mask"), whole)),
            train_flops_nonzero=_number(ledger.get(("training", "nonzero"), whole)),
            forward_flops=_number(ledger.get(("forward", "mask"), whole)),
            layers_packed=float(len(packed)),
            load=_number(load[0]) if load else math.nan,
        )
    except FileError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FileError(f"{folder}: its files are damaged ({error!r}); remove the folder and train it again") from error


def _object(file: Path) -> dict[str, Any]:
    return json_object(read_text(file, "what tamis train writes"), str(file))


def training_cpu_s(epochs: Sequence[Mapping[str, Any]]) -> float:
    """CPU seconds of all training steps.

    The clock of an epoch that was stopped halfway counts the steps after the resume only; such an epoch is taken as
    all its steps at their median.
    """
    total, before = 0.0, 0
    for row in epochs:
        steps, before = row["step"] - before, row["step"]
        whole = row.get("timed_steps", steps) == steps
        total += row["cpu_s"] if whole else 1e-3 * (row["step_cpu_ms"] or 0.0) * steps
    return total


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def csv_rows(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """The results as rows of a CSV file: blank where there is no number."""
    return [{name: blank(value) for name, value in asdict(result).items()} for result in results]


def blank(value: Any) -> Any:
    """The value as a CSV file shows it: nothing in place of NaN."""
    return "" if isinstance(value, float) and math.isnan(value) else value


def read_results(path: str | os.PathLike[str]) -> tuple[CellResult, ...]:
    """The rows of a results.csv.

    Raises:
        FileError: the file is missing, cut short, or its columns are not those of a study.
    """
    known = tuple(item.name for item in fields(CellResult))
    rows = csv_records(read_finished(path, "the results of a study"), str(path), known)
    try:
        found = [
            {name: (float(row[name] or "nan") if _is_number(name) else row[name]) for name in known} for row in rows
        ]
        return tuple(CellResult(**{**row, "seed": int(row["seed"])}) for row in found)  # type: ignore[arg-type]
    except FileError:
        raise
    except ValueError as error:
        raise FileError(f"{path}: no results of a study ({error}); expected numbers") from error


def _is_number(name: str) -> bool:
    return name in NUMBERS
