"""Random crops and mirror images: the parameters are drawn once for an epoch, then applied batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tamis.errors import UsageError


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image: the scheme of He et al. 2016 (arXiv:1512.03385, section 4.2).

    ``crop_padding``: rows and columns of zeros (black, before normalisation) put around the image before a window
    of the original size is cut out at a uniformly random place; 0 switches cropping off.  ``flip``: mirror left to
    right with probability one half.  Raises ``UsageError`` unless the padding is a whole number of at least 0.
    """

    crop_padding: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.crop_padding, bool) or not isinstance(self.crop_padding, int) or self.crop_padding < 0:
            raise UsageError(f"crop_padding={self.crop_padding!r}; expected a whole number of pixels, at least 0")


@dataclass(frozen=True, eq=False)
class Draws:
    """What happens to each of N images: ``corners`` int64 (N, 2), row and column of the window; ``flips`` bool (N,)."""

    corners: Tensor | None
    flips: Tensor | None

    def __getitem__(self, part: slice) -> Draws:
        return Draws(
            None if self.corners is None else self.corners[part], None if self.flips is None else self.flips[part]
        )


def draw(augmentation: Augmentation, count: int, generator: torch.Generator) -> Draws:
    """Draw the fate of ``count`` images from ``generator``; what is switched off draws nothing."""
    corners = flips = None
    if augmentation.crop_padding:
        corners = torch.randint(2 * augmentation.crop_padding + 1, (count, 2), generator=generator)
    if augmentation.flip:
        flips = torch.randint(2, (count,), generator=generator).bool()
    return Draws(corners, flips)


def apply(images: Tensor, augmentation: Augmentation, draws: Draws) -> Tensor:
    """``(N, C, H, W)`` images of any dtype -> images of the same shape and dtype, cropped and mirrored."""
    if draws.corners is not None:
        images = crop(images, draws.corners, augmentation.crop_padding)
    if draws.flips is not None:
        images = mirror(images, draws.flips)
    return images


def crop(images: Tensor, corners: Tensor, padding: int) -> Tensor:
    """Cut an H x W window out of each zero-padded image.

    ``images`` (N, C, H, W); ``corners`` int64 (N, 2): row and column of the window's upper left pixel in the padded
    image, 0 to 2 ``padding``; (``padding``, ``padding``) gives the image back.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    # a view of every window of every image; indexing then copies one window each, without a loop
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(count), :, corners[:, 0], corners[:, 1]]


def mirror(images: Tensor, flips: Tensor) -> Tensor:
    """Mirror those of the ``(N, C, H, W)`` images left to right whose entry in ``flips`` (bool, (N,)) is True."""
    return torch.where(flips[:, None, None, None], images.flip(3), images)
