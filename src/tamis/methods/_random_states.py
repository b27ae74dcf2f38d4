"""A look at data that leaves no trace in the random generators of the process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def unchanged_random_states() -> Iterator[None]:
    """Give torch (CPU and all CUDA devices), numpy and Python their present random states back at the end."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's data code may draw from it
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
