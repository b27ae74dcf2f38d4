"""From stored images to what a network sees: size, crop, interpolation and normalisation, under one id.

The id is a column of the results: rows of different ids are not compared.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from tamis.data import Augmentation
from tamis.data._augmentation import apply, draw
from tamis.errors import UsageError

Interpolation = Literal["bilinear", "bicubic"]

# Rounded as in the paper's code (utils/datasets.py); torchvision writes .485.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# torchvision's RandomResizedCrop tries this often before it falls back to the middle of the image
_ATTEMPTS = 10
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow converts to grey

# One tensor of images of one size, or a list of images of their own sizes.
Stack = Tensor | Sequence[Tensor]


class Transform(ABC):
    """What turns stored images, uint8 (0 to 255) or float32 (0 to 1) of 1 or 3 channels, into network input.

    Grey becomes RGB by repetition, RGB becomes grey by its luminance (BT.601), as ``channels`` asks.
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    @abstractmethod
    def id(self) -> str:
        """A name that differs whenever the numbers that a network sees differ."""

    @abstractmethod
    def test(self, images: Stack) -> Tensor:
        """Without chance: images -> float32 (N, channels, size, size), normalised."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Any:
        """Draw the augmentation of ``count`` images; slices of it go to :meth:`train`."""

    @abstractmethod
    def train(self, images: Stack, draws: Any) -> Tensor:
        """With the augmentation ``draws``: images -> float32 (N, channels, size, size), normalised."""

    def _check(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise UsageError(f"size={self.size!r}; expected a side in pixels, at least 1")
        if self.channels not in (1, 3):
            raise UsageError(f"channels={self.channels!r}; expected 1 (grey) or 3 (RGB)")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels or not all(map(math.isfinite, values)):
                raise UsageError(f"{name}={values}; expected {self.channels} finite numbers, one for each channel")
        if min(self.std) <= 0:
            raise UsageError(f"std={self.std}; expected numbers above 0")

    def _normalised(self, pixels: Tensor) -> Tensor:
        shape = (1, -1, 1, 1)
        return (pixels - torch.tensor(self.mean).reshape(shape)) / torch.tensor(self.std).reshape(shape)

    def _norm_id(self) -> str:
        if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
            return "imagenet"
        return "n" + hashlib.sha256(repr((self.mean, self.std)).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class PhotoTransform(Transform):
    """Photographs of any size, as torchvision's reference and the paper do it.

    Training: a random part of ``scale`` of the area with an aspect ratio in 3/4 to 4/3 is resized to
    ``size`` x ``size``, then mirrored with probability one half.  Test: the shorter side is resized to ``resize``,
    the middle ``size`` x ``size`` is cut out.  Resized pixels are rounded to 1/255, as Pillow's are.

    ``interpolation`` is bilinear, but bicubic for RigL's checkpoints, which TensorFlow trained that way.
    """

    size: int = 224
    resize: int = 256
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    scale: tuple[float, float] = (0.08, 1.0)
    flip: bool = True

    def __post_init__(self) -> None:
        self._check()
        if not isinstance(self.resize, int) or self.resize < self.size:
            raise UsageError(f"resize={self.resize!r}; expected pixels, at least size={self.size}")
        if self.interpolation not in get_args(Interpolation):
            raise UsageError(f"interpolation={self.interpolation!r}; expected {' or '.join(get_args(Interpolation))}")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UsageError(f"scale={self.scale}; expected two shares of the area, 0 < low <= high <= 1")

    @property
    def id(self) -> str:
        """Such as ``photo-224-256-bilinear-aa-imagenet``."""
        parts = ["photo", str(self.size), str(self.resize), self.interpolation, "aa" if self.antialias else "noaa"]
        parts += ["grey"] if self.channels == 1 else []
        parts += [] if self.scale == (0.08, 1.0) else [f"scale{self.scale[0]:g}-{self.scale[1]:g}"]
        return "-".join([*parts, *([] if self.flip else ["noflip"]), self._norm_id()])

    def test(self, images: Stack) -> Tensor:
        """Resize the shorter side, cut out the middle, normalise."""
        if isinstance(images, Tensor):
            return self._normalised(self._middle(images))
        return self._normalised(torch.cat([self._middle(image[None]) for image in images]))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """float32 (count, 10, 5) uniform numbers: area, aspect ratio, row, column, flip of each attempt."""
        return torch.rand(count, _ATTEMPTS, 5, generator=generator)

    def train(self, images: Stack, draws: Tensor) -> Tensor:
        """A random resized crop and flip of each image, normalised."""
        parts = []
        for image, chances in zip(images, draws, strict=True):
            top, left, height, width = crop_window(image.shape[1], image.shape[2], chances, self.scale)
            part = image[None, :, top : top + height, left : left + width]
            part = self._resized(part, (self.size, self.size))
            parts.append(part.flip(3) if self.flip and chances[0, 4] < 0.5 else part)
        return self._normalised(torch.cat(parts))

    def _middle(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        short, long = min(height, width), max(height, width)
        # torchvision's Resize(int): the longer side is rounded down
        sides = (self.resize, self.resize * long // short)
        images = self._resized(images, sides if height <= width else sides[::-1])
        top, left = (round((side - self.size) / 2) for side in images.shape[2:])
        return images[:, :, top : top + self.size, left : left + self.size]

    def _resized(self, images: Tensor, sides: tuple[int, int]) -> Tensor:
        pixels = unit_pixels(images, self.channels)
        if tuple(pixels.shape[2:]) == sides:
            return pixels
        pixels = F.interpolate(pixels, sides, mode=self.interpolation, antialias=self.antialias, align_corners=False)
        return pixels.mul_(255).round_().clamp_(0, 255).div_(255)


@dataclass(frozen=True)
class PixelTransform(Transform):
    """Small images without interpolation: smaller ones get a border of zeros, larger ones the mean of whole blocks.

    So 28 x 28 becomes 32 x 32 by two rows and columns of black on each side, and 64 x 64 the mean of 2 x 2.  What fits
    neither is refused.  Training cuts ``size`` x ``size`` at random out of the image with ``padding`` rows and columns
    of black on each side, and mirrors it with probability one half if ``flip``: :class:`tamis.data.Augmentation`.
    """

    size: int = 32
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        self._check()
        Augmentation(self.padding, self.flip)  # refuses a bad padding

    @property
    def id(self) -> str:
        """Such as ``pixel-32-pad4-flip-imagenet``."""
        parts = ["pixel", str(self.size), *(["grey"] if self.channels == 1 else [])]
        parts += [f"pad{self.padding}"] if self.padding else []
        return "-".join([*parts, *(["flip"] if self.flip else []), self._norm_id()])

    def test(self, images: Stack) -> Tensor:
        """Fit and normalise."""
        return self._normalised(self._fitted(images))

    def draw(self, count: int, generator: torch.Generator) -> Any:
        """Corners and flips, as :mod:`tamis.data` draws them."""
        return draw(Augmentation(self.padding, self.flip), count, generator)

    def train(self, images: Stack, draws: Any) -> Tensor:
        """Fit, crop and flip, normalise."""
        return self._normalised(apply(self._fitted(images), Augmentation(self.padding, self.flip), draws))

    def _fitted(self, images: Stack) -> Tensor:
        if isinstance(images, Tensor):
            return self._fit(unit_pixels(images, self.channels))
        return torch.cat([self._fit(unit_pixels(image[None], self.channels)) for image in images])

    def _fit(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        if height == width and height % self.size == 0:
            block = height // self.size
            return pixels if block == 1 else F.avg_pool2d(pixels, block)
        if height <= self.size and width <= self.size:
            top, left = (self.size - height) // 2, (self.size - width) // 2
            return F.pad(pixels, (left, self.size - width - left, top, self.size - height - top))
        raise UsageError(
            f"images of {height} x {width} pixels do not fit {self.size} x {self.size}: expected at most that, or a "
            "square of a whole multiple; use the photo transform, which resizes"
        )


def unit_pixels(images: Tensor, channels: int) -> Tensor:
    """(N, 1 or 3, H, W) uint8 or float32 -> new float32 (N, ``channels``, H, W); uint8 is divided by 255."""
    pixels = images.float().div_(255) if images.dtype == torch.uint8 else images.clone()
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1).contiguous()
    return (pixels * torch.tensor(_LUMINANCE).reshape(1, 3, 1, 1)).sum(1, keepdim=True)


def crop_window(height: int, width: int, chances: Tensor, scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """Row, column, height and width of a random resized crop, with torchvision's rule.

    ``chances`` is (attempts, >= 4) of uniform numbers; the first attempt that fits the image counts, else the largest
    middle part with an aspect ratio (width / height) between 3/4 and 4/3.
    """
    low, high = math.log(3 / 4), math.log(4 / 3)
    for area, ratio, row, column in chances[:, :4].tolist():
        target = height * width * (scale[0] + (scale[1] - scale[0]) * area)
        aspect = math.exp(low + (high - low) * ratio)
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(row * (height - h + 1)), int(column * (width - w + 1)), h, w
    w, h = width, height
    if width / height < 3 / 4:
        h = round(width / (3 / 4))
    elif width / height > 4 / 3:
        w = round(height * (4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w
