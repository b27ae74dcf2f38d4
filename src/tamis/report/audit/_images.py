"""Small pictures of exemplars.  Images are often faces, so a page has none unless it is given them."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tamis.arrays import read_arrays
from tamis.errors import FileError, UsageError
from tamis.report.audit._content import read_content

SIDE = 96  # pixels of the longer side
BLUR = 0.06  # radius as a share of the longer side: who it is goes, where things are stays
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_BYTES = 2_000_000  # of all pictures of one page
LARGEST = 64_000_000  # pixels of one picture
MOST_ARRAY_BYTES = 2 << 30
PNG = b"\x89PNG\r\n\x1a\n"
_PLAIN = re.compile(r"[\w][\w.\- ]*")


def read_images(source: str | os.PathLike[str], report: Any, *, blur: bool = False) -> dict[str, bytes]:
    """Thumbnails of the report's exemplars: PNG files of at most 96 pixels a side, by the sample's id.

    Args:
        source: a folder with files named by the ids (``00017.png``; png, jpg, jpeg, webp, bmp), or an ``.npz`` file
            with the arrays ``images``, shape (N, H, W) or (N, H, W, 3), uint8, and ``ids``, shape (N,).
        report: an AuditReport or the dict of its JSON; only pictures of its exemplars are read.
        blur: make the pictures unrecognisable, Gaussian with a radius of 6 % of the side.

    Returns:
        What was found; samples without a picture are left out.

    Raises:
        UsageError: pillow is not installed.
        FileError: the source is missing, a file in it is no image or too large, or the arrays do not fit.
    """
    _require_pillow()
    place = Path(source)
    wanted = list(dict.fromkeys(name for names in read_content(report).sample_ids for name in names))
    if place.is_dir():
        found: Iterator[tuple[str, Any]] = _files(place, wanted)
    elif place.is_file():
        found = _arrays(place, wanted)
    else:
        raise FileError(
            f"{place} does not exist; expected a folder of images named by id, or an .npz file with images and ids"
        )
    return {name: _png(picture, blur) for name, picture in found}


def addresses(images: Mapping[str, bytes] | None) -> tuple[dict[str, str], int]:
    """``data:`` addresses of PNG files until the page's budget is used, and how many found no room.

    Raises UsageError for a picture that is no PNG file: nothing else is ever put into a page.
    """
    found: dict[str, str] = {}
    used = left_out = 0
    for name, content in (images or {}).items():
        if not isinstance(content, bytes) or not content.startswith(PNG):
            raise UsageError(
                f"the image of sample {str(name)[:80]!r} is no PNG file; expected bytes as read_images returns them"
            )
        used += len(content)
        if used > MOST_BYTES:
            left_out += 1
        else:
            found[str(name)] = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
    return found, left_out


def _files(folder: Path, wanted: Iterable[str]) -> Iterator[tuple[str, Any]]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    for name in wanted:
        if not _PLAIN.fullmatch(name):
            continue  # an id such as ../../x must not leave the folder
        stem = name if Path(name).suffix.lower() in ENDINGS else None
        candidates = [folder / stem] if stem else [folder / (name + ending) for ending in ENDINGS]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            continue
        try:
            with Image.open(path) as picture:
                if picture.width * picture.height > LARGEST:
                    raise FileError(
                        f"{path} has {picture.width} x {picture.height} pixels; expected at most {LARGEST:,}"
                    )
                picture.draft("RGB", (2 * SIDE, 2 * SIDE))
                yield name, ImageOps.exif_transpose(picture).convert("RGB")
        except FileError:
            raise
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
            raise FileError(f"{path} cannot be read as an image ({problem}); replace or remove it") from None


def _arrays(file: Path, wanted: Iterable[str]) -> Iterator[tuple[str, Any]]:
    from PIL import Image

    found = read_arrays(file, ("images", "ids"), MOST_ARRAY_BYTES)
    images, ids = found["images"], [str(name) for name in found["ids"].reshape(-1).tolist()]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise FileError(f"{file}: images are {images.shape} {images.dtype}; expected (N, H, W) or (N, H, W, 3), uint8")
    if len(ids) != len(images):
        raise FileError(f"{file}: {len(ids)} ids for {len(images)} images; expected one id an image")
    row = {name: place for place, name in enumerate(ids)}
    for name in wanted:
        if name in row:
            yield name, Image.fromarray(images[row[name]]).convert("RGB")


def _png(picture: Any, blur: bool) -> bytes:
    from PIL import Image, ImageFilter

    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    if blur:
        picture = picture.filter(ImageFilter.GaussianBlur(max(1.0, BLUR * max(picture.size))))
    picture.info.clear()  # place, time and camera stay behind
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _require_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise UsageError("images need pillow, which is not installed: pip install tamis[vision]") from None
