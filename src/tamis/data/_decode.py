"""Encoded images (JPEG, PNG, ...) to arrays, through Pillow, which is optional."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal

import numpy as np

from tamis.errors import FileError, UsageError

# the most pixels of one image; Pillow itself only warns, and above 89 million
MAX_PIXELS = 1 << 26
# the decoders that untrusted bytes may reach
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF")

Channels = Literal[1, 3]


def pillow(needed_by: str) -> ModuleType:
    """The module ``PIL.Image``; ``UsageError`` saying what needs it and how to install it, if it does not import."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise UsageError(
            f"{needed_by} holds encoded images, which need Pillow ({error}); "
            "install it with: pip install 'tamis[vision]'"
        ) from error


def decode(
    source: IO[bytes] | Path, where: str, channels: Channels, size: tuple[int, int] | None, image_module: ModuleType
) -> np.ndarray:
    """Decode one image to uint8 ``(H, W)`` for 1 channel or ``(H, W, 3)``.

    With ``size`` = (H, W) the image is scaled so that it covers that frame (bilinear with antialiasing) and its
    middle is cut out; without, it keeps its own size.  Raises ``FileError`` naming ``where`` if it is damaged or has
    more than ``MAX_PIXELS``.
    """
    try:
        with image_module.open(source, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise FileError(
                    f"{where}: found {image.width} x {image.height} pixels; expected at most {MAX_PIXELS:,}"
                )
            picture = image.convert("L" if channels == 1 else "RGB")
            if size is not None:
                picture = _cover(picture, size, image_module)
            return np.asarray(picture)
    except FileError:
        raise
    except Exception as error:
        # decoders of damaged bytes raise OSError, SyntaxError, ValueError, struct.error ...
        raise FileError(f"{where}: found no readable image ({error}); expected a JPEG, PNG or similar") from None


def _cover(picture: Any, size: tuple[int, int], image_module: ModuleType) -> Any:
    height, width = size
    scale = max(height / picture.height, width / picture.width)
    scaled = (max(width, round(picture.width * scale)), max(height, round(picture.height * scale)))
    if scaled != (picture.width, picture.height):
        picture = picture.resize(scaled, image_module.Resampling.BILINEAR)
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    return picture.crop((left, top, left + width, top + height))
