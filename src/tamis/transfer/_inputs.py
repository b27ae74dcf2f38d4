"""How the images of a task enter a backbone: size, channels and normalisation that fit what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from tamis.data import channel_statistics
from tamis.errors import UsageError
from tamis.transfer._task import Task
from tamis.transfer._transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Interpolation,
    PhotoTransform,
    PixelTransform,
    Transform,
    unit_pixels,
)

Norm = Literal["imagenet", "task"]

# side in pixels that the stems of tamis's networks are made for, where a checkpoint does not say
_SMALL = 32
_PHOTO = 224
_STATISTICS = 1000  # training images from which channel statistics are measured where a task has none


def input_transform(
    task: Task,
    architecture: Mapping[str, Any],
    *,
    size: int = 0,
    norm: Norm = "imagenet",
    interpolation: Interpolation = "bilinear",
) -> Transform:
    """The transform for a backbone and a task.

    Backbones for photographs (side above 64) get the protocol's 256 / 224 resize and crop, smaller ones pixels without
    interpolation where the task's images fit the side, else the same resize and crop at their size.

    Args:
        task: whose images.
        architecture: arguments of :func:`tamis.models.create_model`; ``image_size`` and ``in_channels`` count.
        size: side in pixels; 0 takes that of the checkpoint, else 224 with an ImageNet stem and 32 without.
        norm: ``imagenet`` mean and deviation (grey backbones have none and take the task's), or the ``task``'s own.
        interpolation: of photographs; that of the upstream training.
    """
    channels = int(architecture.get("in_channels", 3))
    side = size or _side(architecture)
    if norm == "task" or channels == 1:
        mean, std = _statistics(task, channels)
    else:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    if side <= 64 and _fits(task, side):
        padding = 4 if side >= 24 else 1
        return PixelTransform(side, channels, mean, std, padding, channels == 3)
    return PhotoTransform(
        side, max(side, round(side * 256 / 224)), interpolation, channels=channels, mean=mean, std=std
    )


def _side(architecture: Mapping[str, Any]) -> int:
    stored = architecture.get("image_size")
    if stored:
        if len(set(stored)) != 1:
            raise UsageError(f"the backbone was trained on images of {stored} pixels; expected squares, give --size")
        return int(stored[0])
    name = str(architecture.get("name", ""))
    small = any(word in name for word in ("cifar", "digits", "resnet20", "resnet56", "wide_resnet"))
    return _SMALL if small else _PHOTO


def _fits(task: Task, side: int) -> bool:
    pixels = getattr(task.train, "pixels", None)
    if pixels is None:
        return False
    height, width = pixels.shape[2:]
    return max(height, width) <= side or (height == width and height % side == 0)


def _statistics(task: Task, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Channel statistics of the training images: the task's own, or those of an even sample of them."""
    if task.mean is not None and task.std is not None and len(task.mean) == channels:
        return task.mean, task.std
    rows = torch.linspace(0, task.n_train - 1, min(_STATISTICS, task.n_train)).round().long()
    images = task.train.take(rows)
    stacks = [images] if isinstance(images, torch.Tensor) else [image[None] for image in images]
    means, squares, count = torch.zeros(channels).double(), torch.zeros(channels).double(), 0
    for stack in stacks:
        pixels = unit_pixels(stack, channels)
        if len(stacks) == 1:
            return channel_statistics(pixels)
        means += pixels.double().sum((0, 2, 3))
        squares += pixels.double().square().sum((0, 2, 3))
        count += pixels.shape[2] * pixels.shape[3]
    mean = means / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    return tuple(mean.tolist()), tuple(torch.where(std > 1e-6, std, 1.0).tolist())
