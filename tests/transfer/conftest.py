"""Results that were made up, the authors' rows where they are found, and a small checkpoint."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tamis.transfer import Row, read_results

from .tiny import tiny_network

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def transfer_vectors() -> dict[str, Any]:
    """The worked examples of tests/golden/transfer_small.json."""
    return json.loads((ROOT / "tests" / "golden" / "transfer_small.json").read_text())


@pytest.fixture(scope="session")
def authors_vectors() -> Path:
    """The folder with the paper authors' raw rows, which are not part of tamis; the test is skipped without it."""
    folder = Path(os.environ.get("TAMIS_SHARED", ROOT.parent / "shared")) / "specs" / "vectors"
    if not (folder / "transfer_raw_results.csv").is_file():
        pytest.skip(f"transfer_raw_results.csv not found at {folder}: set TAMIS_SHARED to the folder with specs/")
    return folder


@pytest.fixture(scope="session")
def authors_rows(authors_vectors: Path) -> tuple[Row, ...]:
    """2,655 accuracies of IST-DASLab/sparse-imagenet-transfer, folder raw_results at 3e4f5dc."""
    return read_results(authors_vectors / "transfer_raw_results.csv")


def made_up(values: dict[tuple[str, float], dict[str, list[float]]], kind: str = "linear", **extra) -> list[Row]:
    """Rows of arch ``net`` from accuracies by (method, sparsity), task and seed."""
    return [
        Row("net", kind, method, sparsity, task, str(seed), value, **extra)
        for (method, sparsity), by_task in values.items()
        for task, found in by_task.items()
        for seed, value in enumerate(found)
    ]


@pytest.fixture
def checkpoint(tmp_path):
    """A torch file with 90 % zeros and no masks."""
    model, _ = tiny_network()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "sparse.pth")
    return tmp_path / "sparse.pth"
