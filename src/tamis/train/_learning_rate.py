"""Learning rates over the epochs, and the optimizers of recipes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from tamis.sparsity import step_decay, warmup_cosine
from tamis.train._recipe import Optimizer, Schedule


def learning_rate(schedule: Schedule, base: float, epoch: int, epochs: int) -> float:
    """The rate of one epoch, constant inside it; phase changes never restart it.

    Warm-up ``base (e + 1) / w`` for the first ``w`` epochs, then a cosine to the end
    (:func:`tamis.sparsity.warmup_cosine`), steps (:func:`tamis.sparsity.step_decay`) or ``base``.  Source: the code
    released with AC/DC (Peste et al., NeurIPS 2021).

    Args:
        schedule: shape and constants.
        base: peak rate.
        epoch: 0-based epoch, below ``epochs``.
        epochs: length of the run.
    """
    if schedule.kind == "cosine":
        return warmup_cosine(epoch, epochs, base, schedule.warmup_epochs)
    if epoch < schedule.warmup_epochs:
        return base * (epoch + 1) / schedule.warmup_epochs
    return step_decay(epoch, base, schedule.step_epochs, schedule.factor) if schedule.kind == "step" else base


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
