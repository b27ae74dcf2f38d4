"""Drawn images with known classes, for tests and for benchmarks where real data would say nothing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tamis.data._image_data import ImageData, make_image_data
from tamis.errors import UsageError

# (row, column, centre row, centre column, radius) int64, broadcastable to (N, H, W) -> bool (N, H, W)
_Drawing = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]

# integers only: no rounding, so every machine draws the same picture
_DRAWINGS: dict[str, _Drawing] = {
    "rows": lambda y, x, cy, cx, r: (y + cy) // r % 2 == 0,
    "columns": lambda y, x, cy, cx, r: (x + cx) // r % 2 == 0,
    "diagonals": lambda y, x, cy, cx, r: (x + y + cy) // r % 2 == 0,
    "chequers": lambda y, x, cy, cx, r: ((y + cy) // r + (x + cx) // r) % 2 == 0,
    "disc": lambda y, x, cy, cx, r: (y - cy) ** 2 + (x - cx) ** 2 <= r**2,
    "square": lambda y, x, cy, cx, r: torch.maximum((y - cy).abs(), (x - cx).abs()) <= r,
    "diamond": lambda y, x, cy, cx, r: (y - cy).abs() + (x - cx).abs() <= r,
    "cross": lambda y, x, cy, cx, r: torch.minimum((y - cy).abs(), (x - cx).abs()) <= r // 3,
}


def synthetic(
    train_images: int = 512,
    test_images: int = 256,
    num_classes: int = 4,
    image_size: Sequence[int] = (16, 16),
    in_channels: int = 3,
    noise: int = 32,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Stripes and shapes at random places, sizes and colours: uint8 ``(N, in_channels, H, W)``.

    The classes are the first ``num_classes`` (1 to 8) of rows, columns, diagonals, chequers, disc, square, diamond,
    cross, in turn, so that they are equally frequent.  ``noise`` (0 to 255) is the largest amount added to or taken
    from a pixel.  The same arguments give the same bytes on every machine: integers only, one ``torch.Generator``
    seeded with ``seed``; train and test come from the same distribution.

    Raises ``UsageError`` for a count out of range or an image smaller than 8 pixels.
    """
    limits = {
        "train_images": (train_images, 1, None),
        "test_images": (test_images, 1, None),
        "num_classes": (num_classes, 1, len(_DRAWINGS)),
        "in_channels": (in_channels, 1, None),
        "noise": (noise, 0, 255),
        "seed": (seed, 0, None),
    }
    for label, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            upper = "" if high is None else f" and at most {high}"
            raise UsageError(f"{label}={value!r}; expected a whole number of at least {low}{upper}")
    if len(image_size) != 2 or any(not isinstance(side, int) or side < 8 for side in image_size):
        raise UsageError(f"image_size={image_size!r}; expected (height, width), each at least 8 pixels")
    generator = torch.Generator().manual_seed(seed)
    names = list(_DRAWINGS)[:num_classes]
    shape = (in_channels, image_size[0], image_size[1])
    train = _draw_images(train_images, names, shape, noise, generator)
    test = _draw_images(test_images, names, shape, noise, generator)
    return make_image_data(train, test, names, "synthetic", mean, std)


def _draw_images(
    count: int, names: Sequence[str], shape: tuple[int, int, int], noise: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    channels, height, width = shape

    def between(low: int, high: int, *size: int) -> Tensor:
        return torch.randint(low, high + 1, size, generator=generator)

    labels = torch.arange(count) % len(names)
    small = min(height, width)
    centre_row = between(height // 4, height - height // 4, count, 1, 1)
    centre_column = between(width // 4, width - width // 4, count, 1, 1)
    radius = between(2, max(2, small // 4), count, 1, 1)
    rows = torch.arange(height).reshape(1, height, 1).expand(count, height, width)
    columns = torch.arange(width).reshape(1, 1, width).expand(count, height, width)
    inside = torch.zeros(count, height, width, dtype=torch.bool)
    for label, name in enumerate(names):
        mine = labels == label
        inside[mine] = _DRAWINGS[name](rows[mine], columns[mine], centre_row[mine], centre_column[mine], radius[mine])
    ground, ink = between(0, 90, count, channels, 1, 1), between(165, 255, count, channels, 1, 1)
    pixels = torch.where(inside[:, None], ink, ground)
    if noise:
        pixels = pixels + between(-noise, noise, count, channels, height, width)
    return pixels.clamp_(0, 255).to(torch.uint8), labels
