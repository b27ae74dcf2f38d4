"""Scores of a network while and after it is fine-tuned: on the test images, and on held-out training images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tamis.transfer._metrics import Scores
from tamis.transfer._probe import scored
from tamis.transfer._probe_lbfgs import scored_quietly
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform


@torch.no_grad()
def _logits(model: nn.Module, batches: Any) -> Tensor:
    was = model.training
    model.eval()
    try:
        return torch.cat([model(images) for images, _ in batches])
    finally:
        model.train(was)


def on_test(model: nn.Module, task: Task, transform: Transform) -> tuple[Scores, Tensor]:
    """Scores and logits, float32 (n_test, K), on the test images."""
    logits = _logits(model, task.ordered_batches("test", transform))
    return scored(task.labels("test"), logits, task.num_classes), logits


def on_held_out(model: nn.Module, task: Task, transform: Transform, held_out: Tensor) -> tuple[Scores, Tensor]:
    """Scores and logits on held-out training images, which alone are decoded, through the test transform.

    Args:
        model: the network; its training mode is restored.
        task: the images.
        transform: whose part for tests is used.
        held_out: bool (n_train,).
    """
    rows = held_out.nonzero()[:, 0]
    batches = ((transform.test(task.train.take(part)), None) for part in rows.split(128))
    logits = _logits(model, batches)
    return scored_quietly(task.labels("train")[rows], logits, task.num_classes), logits
