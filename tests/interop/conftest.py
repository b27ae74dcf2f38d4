"""The scripts of examples/interop, run where they do no harm."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "interop"


@pytest.fixture
def example(monkeypatch, tmp_path):
    """Runs a script of ``examples/interop`` in an empty folder; returns its globals."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()

    def run(name: str, run_name: str = "__main__") -> dict[str, Any]:
        return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=run_name)

    yield run
    torch.set_num_threads(threads)
