"""Runs that take a second: a tiny network on drawn shapes, one thread, no measured choices."""

from functools import partial

import pytest

from tamis.data import load_data
from tamis.train import _finish, measure_step, parse_recipe

SMALL = """
name = "small"
[data]
source = "synthetic"
crop_padding = 1
flip = true
[model]
name = "resnet8_digits"
options = { widths = [4, 4, 8] }
[optimizer]
lr = 0.05
[train]
epochs = 7
batch_size = 16
"""


@pytest.fixture(autouse=True)
def _steady_and_quick(one_thread, sparse_side, monkeypatch):
    """Two runs give the same numbers (resuming carries measured choices, two fresh runs differ); few timed steps."""
    monkeypatch.setattr(_finish, "measure_step", partial(measure_step, steps=2, warmup=1))


@pytest.fixture(scope="session")
def data():
    """70 training and 20 held-out images of 3 classes, uint8 (N, 3, 8, 8): five steps an epoch at batch 16."""
    return load_data("synthetic", train_images=70, test_images=20, num_classes=3, image_size=(8, 8))


@pytest.fixture(scope="session")
def small():
    """The recipe above, dense."""
    return parse_recipe(SMALL)
