"""Image sets in one ``.npz`` file: pixel arrays, or encoded images in one long buffer."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tamis.arrays import MAX_BYTES, array_names, read_arrays
from tamis.data._decode import decode, pillow
from tamis.data._image_data import ImageData, make_image_data
from tamis.errors import FileError, UsageError

Layout = Literal["NHWC", "NCHW"]


def read_npz(
    path: str | os.PathLike[str],
    layout: Layout | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Read an image set from an ``.npz`` file; the result's pixels are uint8 or float32 ``(N, C, H, W)``.

    For each split, train and test, the file holds

    - ``x_train``: uint8, or float16/32/64 without NaN and infinity, as ``(N, H, W)``, ``(N, H, W, C)`` or
      ``(N, C, H, W)``; or ``train_buf``, uint8, N encoded images (JPEG, PNG) of one size, and ``train_off``, N + 1
      integers: image i is ``train_buf[train_off[i]:train_off[i + 1]]``.  Encoded images become RGB and need Pillow
      (``tamis[vision]``);
    - ``y_train``: N integers from 0.

    ``classes``, the names of the classes, is optional.  Other arrays are ignored.  ``layout`` is needed only where 4-D
    pixels leave open which axis is the channel: it is taken to be the one of length 1 or 3.

    Raises ``FileError`` naming the file if it is missing, truncated, damaged, mis-shaped, or needs unpickling;
    ``UsageError`` if Pillow is needed and absent.
    """
    file = Path(path)
    if layout not in (None, "NHWC", "NCHW"):
        raise UsageError(f"layout={layout!r}; expected 'NHWC' or 'NCHW'")
    present = array_names(file)
    wanted = ["classes"] if "classes" in present else []
    encoded = {split: f"{split}_buf" in present and f"x_{split}" not in present for split in ("train", "test")}
    for split, is_encoded in encoded.items():
        wanted += [f"y_{split}", *([f"{split}_buf", f"{split}_off"] if is_encoded else [f"x_{split}"])]
    arrays = read_arrays(file, wanted)
    splits = {}
    for split, is_encoded in encoded.items():
        if is_encoded:
            images = _decode_all(file, split, arrays.pop(f"{split}_buf"), arrays.pop(f"{split}_off"))
        else:
            images = _pixels(f"{file}: x_{split}", arrays.pop(f"x_{split}"), layout)
        splits[split] = images, _labels(f"{file}: y_{split}", arrays[f"y_{split}"], len(images))
    highest = max(int(labels.max()) for _, labels in splits.values())
    classes = _class_names(file, arrays.get("classes"), highest)
    try:
        return make_image_data(splits["train"], splits["test"], classes, file.stem, mean, std)
    except FileError:
        raise
    except UsageError as error:
        raise FileError(f"{file}: {error}") from None


def _pixels(where: str, array: np.ndarray, layout: Layout | None) -> Tensor:
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # refused below
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise FileError(f"{where} holds NaN, infinity or values beyond float32; expected finite pixels")
    elif array.dtype != np.uint8:
        raise FileError(f"{where} has dtype {array.dtype}; expected uint8 or float")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim != 4:
        raise FileError(f"{where} has shape {array.shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W)")
    elif _layout(where, array.shape, layout) == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    if array.size == 0:
        raise FileError(f"{where} has shape {array.shape}; expected at least one image of at least one pixel")
    return torch.from_numpy(np.ascontiguousarray(array))


def _layout(where: str, shape: tuple[int, ...], layout: Layout | None) -> Layout:
    if layout is not None:
        return layout
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first == last:
        raise FileError(
            f"{where} has shape {shape}, from which the channel axis cannot be told: "
            "expected 1 or 3 on axis 1 or on axis 3; pass layout='NHWC' or layout='NCHW'"
        )
    return "NCHW" if first else "NHWC"


def _labels(where: str, array: np.ndarray, count: int) -> Tensor:
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise FileError(f"{where} is {array.shape} {array.dtype}; expected one integer for each of {count} images")
    # 64 Ki classes is far beyond any image set; it also keeps a wild label from naming a billion classes
    if array.min() < 0 or array.max() >= 1 << 16:
        raise FileError(f"{where} runs from {array.min()} to {array.max()}; expected 0 to at most {(1 << 16) - 1}")
    return torch.from_numpy(array.astype(np.int64))


def _class_names(file: Path, array: np.ndarray | None, highest: int) -> list[str]:
    if array is None:
        return [str(label) for label in range(highest + 1)]
    if array.ndim != 1 or array.dtype.kind not in "US" or len(array) <= highest:
        raise FileError(
            f"{file}: classes is {array.shape} {array.dtype}; expected one name for each of the labels 0 to {highest}"
        )
    try:
        return [name.decode() if isinstance(name, bytes) else name for name in array.tolist()]
    except ValueError as error:
        raise FileError(f"{file}: classes holds bytes that are no text ({error}); expected one name a label") from None


def _decode_all(file: Path, split: str, buffer: np.ndarray, offsets: np.ndarray) -> Tensor:
    where = f"{file}: {split}_off"
    if buffer.ndim != 1 or buffer.dtype != np.uint8:
        raise FileError(f"{file}: {split}_buf is {buffer.shape} {buffer.dtype}; expected one axis of uint8")
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or len(offsets) < 2:
        raise FileError(f"{where} is {offsets.shape} {offsets.dtype}; expected N + 1 integers on one axis")
    bounds = [int(offset) for offset in offsets]
    if bounds[0] < 0 or bounds[-1] > len(buffer) or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise FileError(
            f"{where} runs from {bounds[0]} to {bounds[-1]}; expected rising numbers from 0 to {len(buffer)} at most"
        )
    image_module = pillow(str(file))
    content = memoryview(buffer.tobytes())
    images: np.ndarray | None = None
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        image = decode(io.BytesIO(content[start:stop]), f"{file}: {split} image {number}", 3, None, image_module)
        if images is None:
            shape = (len(bounds) - 1, *image.shape)
            if image.size * shape[0] > MAX_BYTES:
                raise FileError(f"{file}: {shape[0]} images of {image.shape} exceed {MAX_BYTES >> 30} GiB of pixels")
            images = np.empty(shape, np.uint8)
        if image.shape != images.shape[1:]:
            raise FileError(
                f"{file}: {split} image {number} is {image.shape}, the first is {images.shape[1:]}; expected one size"
            )
        images[number] = image
    assert images is not None  # there are at least two offsets
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
