"""Fixtures shared by all tests: the golden vectors, and the third-party data that a stranger does not have."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

# Tests neither read nor change the decisions that the user's own runs left behind.
os.environ["TAMIS_CACHE"] = ""
# A shell that starts the tests in the background lets them ignore Ctrl-C, and so what they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch

from tamis.kernels import choices

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden"


def shared_folder() -> Path:
    """TAMIS_SHARED, or the folder ``shared`` beside the project."""
    return Path(os.environ.get("TAMIS_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def pruning_vectors() -> dict[str, Any]:
    """The test vectors of the sparsifiers (tests/golden/pruning.json)."""
    return json.loads((GOLDEN / "pruning.json").read_text())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data sets; the test is skipped by name where it does not exist."""
    folder = shared_folder() / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set TAMIS_SHARED to the folder that contains data/")
    return folder


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def one_thread():
    """Torch computes on one thread: sums have one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def sparse_side():
    """Packed layers run their sparse kernels without a measurement, whose outcome may differ between two runs."""
    mode, choices.mode = choices.mode, "sparse"
    yield
    choices.mode = mode
