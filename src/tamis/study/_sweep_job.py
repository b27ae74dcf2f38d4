"""One cell of a sweep as a function of plain values, so that a process of this machine or of a cluster can run it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from tamis.train import parse_table
from tamis.train._recipe_toml import parse_toml
from tamis.transfer import Task, TransferRecipe, has_finished, load_task, read_results, run_transfer

# Torch's global generator and thread count belong to the process: its cells run one after another.
_ONE_AT_A_TIME = threading.Lock()
# what a transfer leaves that a sweep has no use for, and that would fill the disk
_BULKY = ("checkpoints", "models", "outputs")


def run_sweep_job(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run one transfer, or go on with it in its folder, and return its rows.

    Args:
        job: ``recipe`` (TOML text), ``folder`` and ``threads``; paths as the process sees them.

    Returns:
        Rows of the results table, as dicts.

    Raises:
        TamisError: whatever the transfer raises.
    """
    import torch

    recipe = parse_table(TransferRecipe, parse_toml(job["recipe"], "cell"), "cell")
    folder = Path(job["folder"])
    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(job["threads"])
        try:
            task = _task(recipe.data, recipe.root)
            if not has_finished(recipe, folder, task=task):  # a crash may have come before its rows were in the table
                # a killed writer leaves a hidden .part file, which is no checkpoint
                resume = any(file.suffix != ".part" for file in (folder / "checkpoints").glob("*"))
                run_transfer(recipe, folder, resume=resume, overwrite=not resume, task=task)
        finally:
            torch.set_num_threads(before)
    rows = [asdict(row) for row in read_results(folder / "results.csv")]
    for name in _BULKY:
        shutil.rmtree(folder / name, ignore_errors=True)
    return rows


@lru_cache(maxsize=2)
def _task(source: str, root: str) -> Task:
    """Cells of one task follow one another, so its lists are read once."""
    return load_task(source, root=root)
