"""A study that trains in a second, its uninterrupted results, results that were made up, and sweeps in threads."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tamis.study import CellResult, cells_of, load_study, run_study
from tamis.study import _sweep_run as sweep_run
from tiny_recipe import tiny_recipe

BASE = tiny_recipe(epochs=6)
STUDY = """
name = "tiny_methods"
base = "tiny.toml"
methods = ["gmp", "oneshot"]
sparsity = [0.5, 0.75]
seeds = [0]
"""


@pytest.fixture(autouse=True)
def _fixed_choices(monkeypatch):
    # For the processes of the pool; measured choices may differ between two runs, and with them the rounding.
    monkeypatch.setenv("TAMIS_CHOICE", "sparse")


@pytest.fixture
def in_threads(monkeypatch):
    """Cells of a sweep run in a thread of this process: the sweep's own logic, without a second interpreter."""

    @contextmanager
    def executor(workers):
        with ThreadPoolExecutor(workers) as found:
            yield found

    monkeypatch.setattr(sweep_run, "local_executor", executor)


def write_study(folder: Path, base: str = BASE, study: str = STUDY) -> Path:
    """The two files of a study; returns that of the study."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.toml").write_text(base)
    (folder / "study.toml").write_text(study)
    return folder / "study.toml"


@pytest.fixture
def study_file(tmp_path):
    return write_study(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Study, cells, folder and results of the tiny study; nobody writes into this folder."""
    folder = tmp_path_factory.mktemp("trained")
    study = load_study(write_study(folder))
    cells = cells_of(study)
    before = os.environ.get("TAMIS_CHOICE")
    os.environ["TAMIS_CHOICE"] = "sparse"
    try:
        found = run_study(study, cells, folder / "out")
    finally:
        os.environ.pop("TAMIS_CHOICE") if before is None else os.environ.update(TAMIS_CHOICE=before)
    return study, cells, folder / "out", found


def made_up(methods: list[str], sparsities=(0.9, 0.98), seeds: int = 3) -> list[CellResult]:
    """Results of cells that nobody trained."""
    draw = random.Random(0)

    def row(method: str, sparsity: float, seed: int, error: float) -> CellResult:
        return CellResult(
            "made_up", f"{method}_{100 * sparsity:g}_s{seed}", method, sparsity, seed, state="done", sparsity=sparsity,
            accuracy=1 - round(1000 * error) / 1000, loss=0.1, held_out=1000.0, epochs=5.0,
            train_cpu_s=3 + draw.random(), wall_over_cpu=1.0, step_dense_cpu_ms=12.0, step_packed_cpu_ms=8.0,
            train_flops=0.3 + 0.6 * draw.random(), train_flops_nonzero=0.3, forward_flops=0.1, layers_packed=7.0,
        )  # fmt: skip

    rows = []
    for seed in range(seeds):
        rows.append(row("dense", 0.0, seed, 0.01 + 0.004 * draw.random()))
        rows += [
            row(m, s, seed, (0.02 + 0.03 * draw.random()) * (1 + 5 * (s > 0.95))) for s in sparsities for m in methods
        ]
    return rows
