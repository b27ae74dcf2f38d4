"""The dense twin of an AC/DC run: the last dense phase, trained on without pruning."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from tamis.data import ImageData
from tamis.train._evaluate import evaluate
from tamis.train._interrupt import Interrupted, StopRequest
from tamis.train._learning_rate import build_optimizer, learning_rate, set_learning_rate
from tamis.train._loop import epoch_batches, train_step
from tamis.train._recipe import Recipe


def train_dense_twin(
    recipe: Recipe,
    data: ImageData,
    network: nn.Module,
    snapshot: Any,
    stop: StopRequest,
    report: Callable[[dict[str, Any]], None],
) -> nn.Module:
    """Fine-tune the dense half of the pair (Peste et al., NeurIPS 2021, official code).

    It resumes the weights and the optimizer's state at the end of the last dense phase and trains
    ``dense_twin_epochs`` epochs at the learning rates of the run's last epochs: with as many epochs as the last sparse
    phase has, exactly the epochs in which its sparse sibling is trained.

    Args:
        recipe: of the finished run.
        data: the same data.
        network: any plain copy of the network; its weights do not matter, it is not changed.
        snapshot: what ``ACDC.dense_twin_state()`` returned.
        stop: looked at after every step.
        report: called with one row per epoch.

    Raises:
        Interrupted: ``stop`` was requested; the twin starts again when the run resumes.
    """
    options = recipe.train
    model = copy.deepcopy(network).train()
    optimizer = build_optimizer(recipe.optimizer, model.parameters())
    snapshot.restore(model, optimizer)
    for epoch in range(options.epochs - options.dense_twin_epochs, options.epochs):
        set_learning_rate(optimizer, learning_rate(recipe.schedule, recipe.optimizer.lr, epoch, options.epochs))
        for images, labels in epoch_batches(recipe, data, epoch):
            train_step(model, optimizer, images, labels, options.label_smoothing)
            if stop.requested:
                raise Interrupted("stopped while training the dense twin")
        seen = evaluate(model, data)
        report({"kind": "twin", "epoch": epoch, "test_loss": seen.loss, "test_accuracy": seen.accuracy})
    return model
