"""One door to every data set: a name or a path."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tamis.data._digits import digits
from tamis.data._folder import read_folder
from tamis.data._image_data import ImageData
from tamis.data._npz import read_npz
from tamis.data._synthetic import synthetic
from tamis.data._torchvision import read_torchvision
from tamis.documents import is_file, is_folder
from tamis.errors import FileError, UsageError

_NAMED: dict[str, Callable[..., ImageData]] = {"digits": digits, "synthetic": synthetic}
_TORCHVISION = "torchvision:"


def load_data(
    source: str | os.PathLike[str],
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> ImageData:
    """Load an image set into memory.

    ``source`` is one of

    - "digits": scikit-learn's 8x8 digits, no options (:func:`digits`);
    - "synthetic": drawn stripes and shapes (:func:`synthetic`: ``train_images``, ``num_classes``, ``seed``, ...);
    - "torchvision:NAME", such as "torchvision:CIFAR10" (:func:`read_torchvision`: ``root``, ``download``);
    - the path of an ``.npz`` file (:func:`read_npz`: ``layout``);
    - the path of a folder of images (:func:`read_folder`: ``image_size``, ``channels``, ``test_fraction``).

    A name wins over a file of the same name; write "./digits" for the file.  ``mean`` and ``std``, one number for
    each channel in the units of :class:`ImageData`, replace those measured on the training images.

    Raises ``FileError`` for a file or folder that is missing, damaged or mis-shaped, and ``UsageError`` for a wrong
    option or a package that is not installed.
    """
    text = os.fspath(source)
    if not isinstance(text, str) or not text:
        raise UsageError(f"data source {text!r}; expected {', '.join(_NAMED)}, torchvision:NAME or a path")
    arguments: tuple[Any, ...] = (text,)
    if text in _NAMED:
        reader, arguments = _NAMED[text], ()
    elif text.startswith(_TORCHVISION):
        reader, arguments = read_torchvision, (text.removeprefix(_TORCHVISION),)
    elif is_folder(Path(text)):
        reader = read_folder
    elif not is_file(Path(text)):
        raise FileError(
            f"{text}: found no such file or folder; expected a path or one of {', '.join(_NAMED)}, torchvision:NAME"
        )
    elif Path(text).suffix.lower() == ".npz":
        reader = read_npz
    else:
        raise FileError(f"{text}: found a file that does not end in .npz; expected an .npz file or a folder of images")
    known = [
        name for name in list(inspect.signature(reader).parameters)[len(arguments) :] if name not in ("mean", "std")
    ]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(f"data {text!r} has no option {', '.join(unknown)}; its options: {', '.join(known) or 'none'}")
    return reader(*arguments, mean=mean, std=std, **options)
