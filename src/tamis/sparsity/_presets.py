"""The published AC/DC configurations, and their learning rates as pure functions of the epoch.

From the configurations of the code released with Peste et al., "AC/DC" (NeurIPS 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tamis.errors import UsageError
from tamis.sparsity._phases import Phase, acdc_phases


def warmup_cosine(epoch: int, total: int, base: float, warmup: int = 5) -> float:
    """Learning rate that warms up linearly, then follows a cosine, constant inside an epoch.

    ``base * (epoch + 1) / warmup`` for the first ``warmup`` epochs, then
    ``base * (1 + cos(pi * (epoch - warmup) / (total - warmup))) / 2``; a change of phase never restarts it.

    Args:
        epoch: whole epoch from 0.
        total: epochs of the run, more than ``warmup``.
        base: the highest learning rate.
        warmup: epochs of warm-up, at least 0.

    Raises:
        UsageError: the run is not longer than its warm-up.

    >>> round(warmup_cosine(50, 100, 0.256), 6)
    0.13857
    """
    if not 0 <= warmup < total:
        raise UsageError(f"the run must be longer than its warm-up; got total={total}, warmup={warmup}")
    if epoch < warmup:
        return base * (epoch + 1) / warmup
    return base * (1.0 + math.cos(math.pi * (epoch - warmup) / (total - warmup))) / 2.0


def step_decay(epoch: int, base: float, after: Sequence[int], factor: float = 0.1) -> float:
    """Learning rate that is multiplied by ``factor`` after each epoch in ``after``.

    Epoch ``after[0] + 1`` is the first with a reduced rate.

    >>> step_decay(75, 0.1, (75, 115)), round(step_decay(76, 0.1, (75, 115)), 9)
    (0.1, 0.01)
    """
    return base * factor ** sum(epoch > drop for drop in after)


@dataclass(frozen=True)
class Preset:
    """One published AC/DC configuration, in epochs.

    Attributes:
        total: epochs of the run.
        warmup: first dense phase.
        sparse: every sparse phase but the last.
        dense: every dense phase between the first and the last.
        last_dense: dense phase before the last sparse one.
        last_sparse: final sparse phase.
        base_lr: learning rate after warm-up.
        momentum: of SGD.
        nesterov: whether the momentum is Nesterov's.
        weight_decay: on all parameters, normalisation included.
        batch_size: samples per step.
        lr_drops: epochs after which the rate falls to a tenth; empty means five epochs of warm-up, then cosine.
        runs: networks and sparsities published with it.
    """

    total: int
    warmup: int
    sparse: int
    dense: int
    last_dense: int
    last_sparse: int
    base_lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    batch_size: int
    lr_drops: tuple[int, ...]
    runs: str

    def phases(self) -> tuple[Phase, ...]:
        """The phases in epochs (:func:`~tamis.sparsity.acdc_phases`)."""
        return acdc_phases(self.total, self.warmup, self.sparse, self.dense, self.last_dense, self.last_sparse)

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, constant inside it."""
        if self.lr_drops:
            return step_decay(epoch, self.base_lr, self.lr_drops)
        return warmup_cosine(epoch, self.total, self.base_lr)


def _imagenet(total: int) -> Preset:
    runs = "ResNet-50 at 80, 90, 95, 98 % and 2:4; MobileNetV1 at 75, 90 %" if total == 100 else "ResNet-50"
    return Preset(total, 10, 5, 5, 10, 15, 0.256, 0.875, False, 2.0**-15, 256, (), runs)


PRESETS: dict[str, Preset] = {
    "imagenet_100": _imagenet(100),
    "imagenet_150": _imagenet(150),
    "imagenet_200": _imagenet(200),
    "cifar100_200": Preset(
        200, 10, 20, 20, 20, 30, 0.08, 0.9, True, 5e-4, 128, (75, 115, 155), "WRN-28-10 at 50, 75, 90, 95 %"
    ),
    "cifar100_dense13_225": Preset(
        225, 10, 20, 13, 13, 50, 0.08, 0.9, True, 5e-4, 128, (75, 115, 155), "WRN-28-10 with shorter dense phases"
    ),
    "cifar10_memorisation_200": Preset(
        200, 10, 20, 20, 20, 30, 0.1, 0.9, False, 5e-4, 128, (65, 125, 185), "ResNet-20 without augmentation"
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name; UsageError naming all presets if there is none."""
    if name not in PRESETS:
        raise UsageError(f"there is no AC/DC preset {name!r}; the presets are {', '.join(PRESETS)}")
    return PRESETS[name]
