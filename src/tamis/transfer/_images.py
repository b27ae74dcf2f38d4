"""The images of one split with their labels: all in memory, or as files that are decoded when a batch needs them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tamis.data._decode import decode, pillow
from tamis.errors import FileError, UsageError


@dataclass(frozen=True, eq=False)
class ImageArray:
    """Images of one size in memory.

    ``pixels`` is (N, C, H, W), uint8 (0 to 255) or float32 (0 to 1), with 1 or 3 channels; ``labels`` int64 (N,).
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.pixels.dim() != 4 or self.pixels.dtype not in (torch.uint8, torch.float32):
            raise UsageError(
                f"images are {tuple(self.pixels.shape)} {self.pixels.dtype}; expected (N, C, H, W), uint8 or float32"
            )
        if self.pixels.shape[1] not in (1, 3):
            raise UsageError(f"images have {self.pixels.shape[1]} channels; expected 1 (grey) or 3 (RGB)")
        if self.pixels.dtype == torch.float32 and self.pixels.numel():
            _check_range(float(self.pixels.min()), float(self.pixels.max()))
        check_labels(self.labels, len(self.pixels))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Tensor:
        """The images ``indices`` (int64 (B,)) as one tensor (B, C, H, W) of the stored dtype."""
        return self.pixels[indices]

    def names(self) -> list[str]:
        """A name for each image that changes with its pixels: its number and the sha256 of its bytes."""
        return [
            f"{i}:{hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()}"
            for i, image in enumerate(self.pixels)
        ]

    def marks(self) -> list[str]:
        """What tells that an image has changed; here the names do."""
        return self.names()


def _check_range(low: float, high: float) -> None:
    """Refuse floats that were not scaled to 0 to 1, which a backbone would take for images of blinding light.

    Resizing with a cubic kernel leads a little beyond both ends.
    """
    slack = 0.25
    if not -slack <= low <= high <= 1 + slack:
        raise UsageError(
            f"float32 images run from {low:g} to {high:g}; expected 0 to 1: divide by 255, pass uint8, or undo a "
            "normalisation"
        )


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files of any sizes, decoded to RGB when they are asked for (Pillow, ``tamis[vision]``).

    ``root`` is the folder of the data set; ``files`` are paths relative to it with forward slashes; ``labels`` int64
    (N,).  Nothing is read before :meth:`take`.
    """

    root: Path
    files: tuple[str, ...]
    labels: Tensor

    def __post_init__(self) -> None:
        check_labels(self.labels, len(self.files))

    def __len__(self) -> int:
        return len(self.files)

    def take(self, indices: Tensor) -> list[Tensor]:
        """The images ``indices`` (int64 (B,)), each uint8 (3, H, W) of its own size.

        Raises ``FileError`` naming a file that is missing or damaged; ``UsageError`` without Pillow.
        """
        module = pillow(str(self.root))
        found = []
        for i in indices.tolist():
            file = self.root / self.files[i]
            found.append(torch.from_numpy(decode(file, str(file), 3, None, module).copy()).permute(2, 0, 1))
        return found

    def names(self) -> list[str]:
        """The relative paths."""
        return list(self.files)

    def marks(self) -> list[str]:
        """Path, size in bytes and time of the last change of each file: a file that was replaced is noticed.

        FileError if one cannot be read.
        """
        found = []
        for name in self.files:
            try:
                state = (self.root / name).stat()
            except OSError as error:
                raise FileError(f"{self.root / name}: cannot be read ({error.strerror}); the split lists it") from None
            found.append(f"{name}:{state.st_size}:{state.st_mtime_ns}")
        return found


Images = ImageArray | ImageFiles


def check_labels(labels: Tensor, count: int) -> None:
    """Refuse labels that are not one int64 of at least 0 for each of ``count`` images, or no images at all."""
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise UsageError(
            f"labels are {tuple(labels.shape)} {labels.dtype}; expected one int64 for each of {count} images"
        )
    if count == 0:
        raise UsageError("found no images; expected at least one in each split")
    if int(labels.min()) < 0:
        raise UsageError(f"labels go down to {int(labels.min())}; expected numbers from 0")


def joined(parts: Sequence[Images]) -> Images:
    """One split from several of the same kind, in their order (train + val)."""
    labels = torch.cat([part.labels for part in parts])
    if all(isinstance(part, ImageArray) for part in parts):
        return ImageArray(torch.cat([part.pixels for part in parts]), labels)  # type: ignore[union-attr]
    files = tuple(name for part in parts for name in part.names())
    return ImageFiles(parts[0].root, files, labels)  # type: ignore[union-attr]
