"""Learning rates over the epochs, and the optimizers of recipes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from tamis.train._recipe import Optimizer, Schedule


def learning_rate(schedule: Schedule, base: float, epoch: int, epochs: int) -> float:
    """The rate of one epoch (constant inside it).

    Warm-up ``base (e + 1) / w`` for the first ``w`` epochs; then cosine ``base (1 + cos(pi (e - w) / (E - w))) / 2``,
    or ``base * factor**k`` with ``k`` the number of ``step_epochs`` before ``e``, or constant.  Source: the training
    code of AC/DC (Peste et al., NeurIPS 2021), where phase changes never restart the schedule.

    Args:
        schedule: shape and constants.
        base: peak rate.
        epoch: 0-based epoch, below ``epochs``.
        epochs: length of the run.
    """
    warmup = schedule.warmup_epochs
    if epoch < warmup:
        return base * (epoch + 1) / warmup
    if schedule.kind == "cosine":
        return base * 0.5 * (1.0 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
    if schedule.kind == "step":
        return base * schedule.factor ** sum(epoch > last for last in schedule.step_epochs)
    return base


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def build_optimizer(options: Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The torch optimizer of a recipe, over all parameters in one group (weight decay on all, as published)."""
    if options.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=options.lr,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.name]
    return kind(parameters, lr=options.lr, betas=(options.beta1, options.beta2), weight_decay=options.weight_decay)
