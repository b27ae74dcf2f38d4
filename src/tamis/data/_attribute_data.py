"""The value for images with several yes-or-no labels: attributes to predict, identities to compare, three splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.data._image_data import check_channels
from tamis.errors import UsageError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class AttributeSplit:
    """N images of one split and everything known about each.

    Attributes:
        images: ``(N, C, H, W)`` in uint8 (0 to 255) or float32.
        attributes: uint8 ``(N, K)`` of 0 and 1: what a model may learn to predict.
        identities: uint8 ``(N, G)`` of 0 and 1: the groups in which an audit compares; G may be 0.
        ids: int64 ``(N,)``, unique over all splits of the data.
        base: int64 ``(N,)``: images with the same number were made from the same original, so they are no independent
            samples; an audit draws them together.
        stamped: bool ``(N,)`` or None: images that get the square of a planted feature after normalisation, see
            :func:`tamis.data.plant`.

    Raises ``UsageError`` where any of this does not hold, or the split is empty.
    """

    images: Tensor
    attributes: Tensor
    identities: Tensor
    ids: Tensor
    base: Tensor
    stamped: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dim() != 4 or self.images.dtype not in (torch.uint8, torch.float32) or self.images.numel() == 0:
            raise UsageError(f"images are {_describe(self.images)}; expected (N, C, H, W), uint8 or float32, not empty")
        count = len(self.images)
        for name in ("attributes", "identities"):
            labels = getattr(self, name)
            if labels.dim() != 2 or len(labels) != count or labels.dtype != torch.uint8:
                raise UsageError(f"{name} are {_describe(labels)}; expected uint8, one row for each of {count} images")
            if bool((labels > 1).any()):
                raise UsageError(f"{name} hold {int(labels.max())}; expected 0 and 1")
        for name in ("ids", "base"):
            numbers = getattr(self, name)
            if numbers.shape != (count,) or numbers.dtype != torch.int64:
                raise UsageError(f"{name} are {_describe(numbers)}; expected int64, one for each of {count} images")
        if self.stamped is not None and (self.stamped.shape != (count,) or self.stamped.dtype != torch.bool):
            raise UsageError(
                f"stamped is {_describe(self.stamped)}; expected bool, one for each of {count} images, or None"
            )

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class AttributeData:
    """Images with K attributes and G identities, in train, valid and test.

    Thresholds are chosen on ``valid`` and nothing else is; ``test`` is for reports.  ``mean`` and ``std`` hold one
    number for each channel, in units where uint8 255 is 1.0, and serve all three splits: see
    :func:`tamis.data.normalise`.  ``stamp`` is the colour of the square on ``stamped`` images, in the range behind
    normalisation; empty if there are none.

    Raises ``UsageError`` where splits do not fit each other, names repeat, or an id occurs twice.
    """

    train: AttributeSplit
    valid: AttributeSplit
    test: AttributeSplit
    attributes: tuple[str, ...]
    identities: tuple[str, ...]
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stamp: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.attributes, *self.identities]
        if len(set(names)) < len(names) or not self.attributes:
            raise UsageError(f"{self.name}: names {names}; expected at least one attribute, each name once")
        for split in SPLITS:
            part = self.split(split)
            found = (part.attributes.shape[1], part.identities.shape[1])
            if found != (len(self.attributes), len(self.identities)):
                raise UsageError(
                    f"{self.name}: {split} has {found[0]} attributes and {found[1]} identities; expected "
                    f"{len(self.attributes)} and {len(self.identities)}, one column for each name"
                )
            if part.images.shape[1:] != self.train.images.shape[1:] or part.images.dtype != self.train.images.dtype:
                raise UsageError(
                    f"{self.name}: {split} images are {_describe(part.images)}, train images "
                    f"{_describe(self.train.images)}; expected the same channels, height, width and dtype"
                )
        ids = torch.cat([self.split(split).ids for split in SPLITS])
        if len(ids.unique()) < len(ids):
            raise UsageError(f"{self.name}: ids repeat; expected a different id for each image of all splits")
        check_channels(self.name, self.mean, self.std, self.in_channels)

        if len(self.stamp) != self.in_channels and any(self.split(split).stamped is not None for split in SPLITS):
            raise UsageError(f"{self.name}: stamp={self.stamp}; stamped images need one number for each channel")

    def split(self, name: str) -> AttributeSplit:
        """``train``, ``valid`` or ``test`` by its name; ``UsageError`` for another."""
        if name not in SPLITS:
            raise UsageError(f"split={name!r}; expected one of {', '.join(SPLITS)}")
        part: AttributeSplit = getattr(self, name)
        return part

    def labels(self, split: str, names: Sequence[str]) -> Tensor:
        """Columns of ``split`` by name, attributes and identities alike: uint8 ``(N, len(names))`` of 0 and 1.

        Raises ``UsageError`` for an unknown name.
        """
        part, known = self.split(split), [*self.attributes, *self.identities]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise UsageError(
                f"{self.name} has no {', '.join(map(repr, unknown)) or 'column without a name'}; its columns are "
                f"{', '.join(known)}"
            )
        both = torch.cat([part.attributes, part.identities], 1)
        return both[:, [known.index(name) for name in names]]

    @property
    def in_channels(self) -> int:
        """C: 1 for grey images, 3 for colour."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.train.images.shape[2], self.train.images.shape[3]


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
