"""Stand-ins for a transfer, which processes of a pool can import, and a sweep for them."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from typing import Any

import torch

from tamis.study import SweepResults, TransferSweep, run_sweep
from tamis.train import parse_table
from tamis.train._recipe_toml import parse_toml
from tamis.transfer import Row, TransferRecipe, read_results, read_sparse_state, recipe_hash


def fake(job: dict[str, Any]) -> list[dict[str, Any]]:
    """A row with an accuracy that depends on the cell alone; says in calls.txt that it ran."""
    recipe = parse_table(TransferRecipe, parse_toml(job["recipe"], "cell"), "cell")
    with (Path(job["folder"]).parents[1] / "calls.txt").open("a") as calls:
        calls.write(f"{job['name']}\n")
    value = 0.5 + 0.4 * (zlib.crc32(job["name"].encode()) % 1000) / 1000
    selection = "best_val" if recipe.how == "linear" and recipe.probe.solver == "lbfgs" else "last"
    row = Row(
        "net", recipe.how, recipe.method, 0.0, Path(recipe.data).stem, str(recipe.seed), value, "top1",
        selection=selection, recipe_hash=recipe_hash(recipe), checkpoint_sha=read_sparse_state(recipe.model).sha256(),
    )  # fmt: skip
    return [vars(row)]


def slow(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Like :func:`fake`, but takes a while."""
    time.sleep(0.4)
    return fake(job)


def fails_once(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Like :func:`fake`, but one cell fails the first time."""
    mark = Path(job["folder"]).parents[1] / "failed"
    if "gmp_80-digits_parity" in job["name"] and not mark.exists():
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        raise ValueError("a bad day")
    return fake(job)


def dies(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Like :func:`fake`, but one cell kills its process."""
    if "gmp_80-digits_parity" in job["name"]:
        os._exit(9)
    return fake(job)


def sweep_of(folder: Path, **changes: Any) -> TransferSweep:
    """Two upstream models with random weights in ``folder``, two tasks, one kind, two seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(("dense_0", "gmp_0.8")):
        generator = torch.Generator().manual_seed(i)
        weights = {"conv.weight": torch.rand(4, 3, 3, 3, generator=generator), "fc.weight": torch.rand(2, 4)}
        if not (folder / f"{name}.pt").exists():
            torch.save(weights, folder / f"{name}.pt")
    options: dict[str, Any] = {
        "name": "small", "tasks": ("digits_parity", "digits_mirrored"), "kinds": ("full",), "seeds": (0, 1),
        "methods": ("gmp",), "sparsity": (0.8,), "path": "{method}_{sparsity:g}.pt",
    }  # fmt: skip
    return TransferSweep(**{**options, **changes})


def run(home: Path, sweep: TransferSweep | None = None, work: Any = fake, **extra: Any) -> SweepResults:
    """Run the small sweep, or another one, in ``home/out`` with the models of ``home/models``."""
    return run_sweep(sweep or sweep_of(home / "models"), home / "out", models=home / "models", work=work, **extra)


def calls(home: Path) -> list[str]:
    """The cells that ran, in order; twice where one ran twice."""
    return (home / "out" / "calls.txt").read_text().split()


def values(home: Path) -> dict[tuple[Any, ...], float]:
    """The accuracies in the table of results by the key of their row."""
    return {row.key: row.value for row in read_results(home / "out" / "results.csv")}


if __name__ == "__main__":
    import sys

    home = Path(sys.argv[1])
    run_sweep(sweep_of(home / "models"), home / "out", models=home / "models", work=slow)
