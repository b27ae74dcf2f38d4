"""How fast the models of a sweep are: each sparse one against its dense copy, in turns, in this process.

One table serves the figure of speed against error: extracting features is what sparsity saves in linear transfer, a
whole training step in full fine-tuning.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tamis.bench import describe_machine, write_csv
from tamis.errors import TamisError, UsageError
from tamis.study._sweep import TransferSweep
from tamis.study._sweep_cells import SweepCell, sweep_cells, sweep_models
from tamis.transfer import Task, input_transform, load_backbone, load_task, speed_on_task, styles_with

SPEEDS = "speeds.csv"


def measure_sweep_speed(
    sweep: TransferSweep,
    folder: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] = ".",
    models: str | os.PathLike[str] = ".",
    repeats: int = 5,
) -> tuple[Path | None, dict[str, str]]:
    """Measure every sparse model of a sweep, by kind, on the first task, and write ``folder/speeds.csv``.

    ``speed_up`` is the ratio of the median CPU times, dense over sparse, which other work on the machine disturbs
    least; ``wall_speed_up`` is the median of the turns' ratios of wall times, between ``wall_low`` and ``wall_high``.

    Args:
        sweep: the description.
        folder: of the sweep.
        root: what paths of tasks are relative to, and where known tasks have their archives.
        models: what paths of models are relative to.
        repeats: timed turns, at least 5.

    Returns:
        The file, None if no sparse model could be measured; and why, by name of the models that could not.

    Raises:
        UsageError: fewer than 5 repeats.
        FileError: the first task cannot be read.
    """
    if repeats < 5:
        raise UsageError(f"repeats = {repeats}: expected at least 5")
    home = Path(folder).resolve()
    cells = sweep_cells(sweep, sweep_models(sweep, home, Path(models).resolve()), Path(root).resolve())
    first = cells[0]
    task = load_task(first.recipe.data, root=first.recipe.root)
    chosen = {(cell.model, cell.recipe.how): cell for cell in reversed(cells) if cell.task == first.task}
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for cell in reversed(chosen.values()):
        if not cell.model.sparsity:
            continue
        try:
            rows.append(_row(cell, task, repeats))
        except TamisError as error:
            missing[f"{cell.model.method} {cell.model.sparsity:g}, {cell.recipe.how}"] = " ".join(str(error).split())
    if not rows:
        return None, missing
    return write_csv(home / SPEEDS, rows, describe_machine(), {"sweep": sweep.name, "task": first.task}), missing


def _row(cell: SweepCell, task: Task, repeats: int) -> dict[str, Any]:
    model, recipe = cell.model, cell.recipe
    backbone = load_backbone(
        model.path, model.arch, min_zero_fraction=recipe.min_zero_fraction, styles=styles_with(recipe.style)
    )
    if not backbone.masks:
        raise UsageError(f"{model.path}: is dense, though the sweep says {model.sparsity:g} of its weights are zero")
    transform = input_transform(
        task,
        backbone.architecture,
        size=recipe.size,
        norm=recipe.norm,
        interpolation=backbone.state.interpolation,
    )
    print(f"{model.method} {model.sparsity:g} {recipe.how}", file=sys.stderr)
    full = recipe.how == "full"
    found = speed_on_task(backbone, task, transform, optimizer=recipe.finetune.optimizer, full=full, repeats=repeats)
    phase = found.phase("full" if full else "linear")
    return {
        "arch": str(backbone.architecture.get("name", "own")),
        "kind": recipe.how,
        "method": model.method,
        "sparsity": model.sparsity,
        "speed_up": phase.cpu_speedup,
        "wall_speed_up": phase.speedup,
        "wall_low": phase.speedup_low,
        "wall_high": phase.speedup_high,
        "dense_cpu_ms": phase.dense_cpu_ms,
        "sparse_cpu_ms": phase.sparse_cpu_ms,
        "batch": found.batch_size,
        "threads": found.threads,
        "repeats": phase.repeats,
        "checkpoint_sha": backbone.state.sha256(),
    }
