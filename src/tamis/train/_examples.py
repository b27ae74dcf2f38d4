"""Training data for the methods that look at some by themselves."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from tamis.data import Batches, ImageData, batches
from tamis.methods import Examples
from tamis.train._recipe import Recipe


def training_examples(recipe: Recipe, data: ImageData) -> Examples:
    """The training images of a run, shuffled by its seed, without augmentation; the order is always the same.

    Args:
        recipe: seed, batch size and label smoothing.
        data: held-out images are not touched.
    """

    def stream() -> Batches:
        return batches(data, recipe.train.batch_size, torch.Generator().manual_seed(recipe.train.seed))

    return Examples(stream, partial(F.cross_entropy, label_smoothing=recipe.train.label_smoothing))
