"""Layers here run the sparse side, so that nothing is measured."""

import pytest
import torch

from tamis.kernels import choices


@pytest.fixture(autouse=True)
def _sparse_side_on_one_thread():
    mode, threads = choices.mode, torch.get_num_threads()
    choices.mode = "sparse"
    torch.set_num_threads(1)
    yield
    choices.mode = mode
    torch.set_num_threads(threads)
