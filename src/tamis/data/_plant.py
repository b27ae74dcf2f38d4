"""Planted features: a yellow square or a loss of colour that goes with a label as often as one chooses.

After the "backdoor" experiment in the code of Iofinova, Peste and Alistarh, "Bias in Pruned Vision Models" (CVPR 2023):
an artificial identity, whose correlation with the label is known, shows whether pruning amplifies it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tamis.data._attribute_data import SPLITS, AttributeData
from tamis.errors import UsageError

Feature = Literal["yellow_square", "grayscale"]
FEATURES = ("yellow_square", "grayscale")
PLANTED = "Planted"
YELLOW = (1.0, 1.0, 0.0)
SQUARE_SHARE = 0.02  # of the picture's area
LUMA = (0.299, 0.587, 0.114)


def choose_planted(labels: Tensor, frac_neg: float, frac_pos: float, seed: int) -> Tensor:
    """Which samples get the feature: exactly ``round(frac * n)`` of each class, without replacement; bool ``(N,)``.

    ``labels`` are 0 and 1, ``(N,)``; ``frac_neg`` and ``frac_pos`` the shares among the zeros and the ones.  The choice
    depends on nothing but the arguments, so it stays the same for every training seed.

    Raises ``UsageError`` unless both shares lie in [0, 1] and the labels are 0 and 1.

    >>> choose_planted(torch.tensor([0, 0, 0, 0, 1, 1]), 0.25, 1.0, seed=0).tolist()
    [False, False, True, False, True, True]
    """
    for name, share in (("frac_neg", frac_neg), ("frac_pos", frac_pos)):
        if not 0 <= share <= 1:
            raise UsageError(f"{name}={share}; expected a share from 0 to 1")
    if labels.dim() != 1 or bool(((labels != 0) & (labels != 1)).any()):
        raise UsageError(f"labels of shape {tuple(labels.shape)}; expected one 0 or 1 for each sample")
    random = np.random.RandomState(seed)  # a stream that never changes
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for value, share in ((0, frac_neg), (1, frac_pos)):
        rows = torch.nonzero(labels == value)[:, 0]
        mask[rows[torch.from_numpy(random.permutation(len(rows)))[: round(share * len(rows))]]] = True
    return mask


def plant_feature(
    images: Tensor,
    labels: Tensor,
    kind: Feature,
    frac_neg: float,
    frac_pos: float,
    seed: int,
    colour: Sequence[float] = YELLOW,
) -> tuple[Tensor, Tensor]:
    """Images with the feature on a chosen part of them, and which part: ``(images', mask)``.

    Args:
        images: ``(N, C, H, W)``.  A square is painted on images behind crop, flip and normalisation; colour is taken
            from images before any of it.
        labels: 0 and 1, ``(N,)``.
        kind: ``yellow_square`` (upper left corner, 2 % of the area) or ``grayscale`` (three equal channels).
        frac_neg: share of the zeros that get it.
        frac_pos: share of the ones that get it.
        seed: of the choice; see :func:`choose_planted`.
        colour: of the square, one number for each channel.

    Returns:
        New images of the same shape and dtype, and a bool mask ``(N,)``.

    Raises:
        UsageError: an argument does not fit.
    """
    _check_kind(kind)
    if len(images) != len(labels):
        raise UsageError(f"{len(images)} images and {len(labels)} labels; expected one label for each image")
    mask = choose_planted(labels, frac_neg, frac_pos, seed)
    return (paint_square(images, mask, colour) if kind == "yellow_square" else without_colour(images, mask)), mask


def plant(
    data: AttributeData,
    attribute: str,
    kind: Feature,
    *,
    train: tuple[float, float] = (0.05, 0.95),
    held_out: tuple[float, float] = (0.5, 0.5),
    seeds: tuple[int, int, int] = (11, 12, 13),
    colour: Sequence[float] = YELLOW,
) -> AttributeData:
    """Data in which a feature goes with an attribute; the identity ``Planted`` says which images have it.

    The square is only noted here (``stamped``) and painted by the batches, behind augmentation and normalisation, so a
    shifted image keeps it in its corner; colour is taken from the stored images at once.

    Args:
        data: stays as it is.
        attribute: name of the attribute or identity that the feature goes with.
        kind: see :func:`plant_feature`.
        train: shares of the zeros and of the ones that get the feature in training.
        held_out: the same in ``valid`` and ``test``; equal shares make the feature useless there.
        seeds: of the choice in train, valid and test; independent of any training seed.
        colour: of the square, in the range behind normalisation.

    Raises:
        UsageError: unknown attribute or kind, a feature is planted already, or the images do not have three channels.
    """
    _check_kind(kind)
    if PLANTED in data.identities:
        raise UsageError(f"{data.name} has a planted feature already; plant each feature in the original data")
    if data.in_channels != 3:
        raise UsageError(f"{data.name} has {data.in_channels} channels; expected 3, a planted feature is a colour")
    parts = {}
    for split, seed in zip(SPLITS, seeds, strict=True):
        part, shares = data.split(split), train if split == "train" else held_out
        mask = choose_planted(data.labels(split, (attribute,))[:, 0], *shares, seed)
        known = torch.cat([part.identities, mask[:, None].to(torch.uint8)], 1)
        parts[split] = (
            replace(part, identities=known, stamped=mask)
            if kind == "yellow_square"
            else replace(part, identities=known, images=without_colour(part.images, mask))
        )
    name = f"{data.name}+{kind}"
    return replace(data, **parts, identities=(*data.identities, PLANTED), name=name, stamp=tuple(map(float, colour)))


def paint_square(images: Tensor, mask: Tensor, colour: Sequence[float]) -> Tensor:
    """A copy of ``(N, C, H, W)`` images; those in ``mask`` have a square of ``colour`` in their upper left corner.

    Its side is ``round(sqrt(0.02 H W))`` pixels: 2 for 16x16, 32 for 224x224.

    Raises ``UsageError`` unless ``colour`` has one number for each channel.
    """
    if len(colour) != images.shape[1]:
        raise UsageError(f"colour={tuple(colour)}; expected {images.shape[1]} numbers, one for each channel")
    side = round(math.sqrt(SQUARE_SHARE * images.shape[2] * images.shape[3]))
    painted = images.clone()
    corner = painted[:, :, :side, :side]
    value = torch.tensor(tuple(colour), dtype=images.dtype)[None, :, None, None]
    painted[:, :, :side, :side] = torch.where(mask[:, None, None, None], value, corner)
    return painted


def without_colour(images: Tensor, mask: Tensor) -> Tensor:
    """A copy of ``(N, 3, H, W)`` images; those in ``mask`` are grey: 0.299 R + 0.587 G + 0.114 B in every channel.

    Raises ``UsageError`` unless there are three channels.
    """
    if images.shape[1] != 3:
        raise UsageError(f"images of shape {tuple(images.shape)}; expected three channels")
    grey = (images.double() * torch.tensor(LUMA, dtype=torch.float64)[None, :, None, None]).sum(1, keepdim=True)
    grey = (grey.round() if images.dtype == torch.uint8 else grey).to(images.dtype)
    return torch.where(mask[:, None, None, None], grey, images)


def _check_kind(kind: str) -> None:
    if kind not in FEATURES:
        raise UsageError(f"kind={kind!r}; expected one of {', '.join(FEATURES)}")
