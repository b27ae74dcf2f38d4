"""One door to data with several yes-or-no labels: a name, or a folder of files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tamis.data._animals import read_animals
from tamis.data._attribute_data import AttributeData
from tamis.data._mnist_groups import read_mnist_groups
from tamis.data._tinted_digits import TintedDigits
from tamis.errors import UsageError

_READERS: dict[str, Callable[..., AttributeData]] = {"mnist_groups": read_mnist_groups, "animals": read_animals}
ATTRIBUTE_SOURCES = ("tinted_digits", *_READERS)


def load_attribute_data(
    kind: str, path: str | os.PathLike[str] = "", *, seed: int | None = None, images: int = 0
) -> AttributeData:
    """Load images with attributes and identities.

    Args:
        kind: ``tinted_digits`` (:class:`TintedDigits`, drawn, without ``path``), ``mnist_groups``
            (:func:`read_mnist_groups`) or ``animals`` (:func:`read_animals`).
        path: folder of the files that ``kind`` reads.
        seed: of the drawing or of the split; None takes the default of ``kind``.
        images: training images to keep at most, the first ones of the split; 0: all.

    Raises:
        UsageError: an unknown kind, or a path is missing or not wanted.
        FileError: a file is missing, damaged or mis-shaped.
    """
    if kind not in ATTRIBUTE_SOURCES:
        raise UsageError(f"data {kind!r}; expected one of {', '.join(ATTRIBUTE_SOURCES)}")
    chosen = {} if seed is None else {"seed": seed}
    if kind == "tinted_digits":
        if os.fspath(path) or images:
            raise UsageError("tinted_digits is drawn and always whole: leave out the path and the number of images")
        return TintedDigits(**chosen).generate()
    if not os.fspath(path):
        raise UsageError(f"data {kind!r} needs the folder of its files: give its path")
    return _READERS[kind](Path(path), images=images, **chosen)
