"""What can be said about masks: sparsity, change, identity, starved layers.

Masks are mappings layer name -> bool tensor of the weight's shape, True where a weight lives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tamis.errors import UsageError


def live_counts(masks: Mapping[str, Tensor]) -> dict[str, int]:
    """Layer name -> number of live weights (True entries)."""
    return {name: int(torch.count_nonzero(mask)) for name, mask in masks.items()}


def sparsity_of(masks: Mapping[str, Tensor]) -> float:
    """Fraction of False over all masks (bool, any shape, by layer name) together; 0.0 for no weights at all."""
    total = sum(mask.numel() for mask in masks.values())
    return 1.0 - sum(live_counts(masks).values()) / total if total else 0.0


@dataclass(frozen=True)
class AchievedSparsity:
    """Both sparsities of a model, which differ as soon as a layer is left dense.

    Attributes:
        over_pruned: fraction of zeros over the layers that were pruned.
        over_all: fraction of zeros over all prunable layers.
        live: live weights over all prunable layers.
        total: weights over all prunable layers.
    """

    over_pruned: float
    over_all: float
    live: int
    total: int


def achieved_sparsity(
    live: Mapping[str, int], total: Mapping[str, int], dense: Collection[str] = ()
) -> AchievedSparsity:
    """Both sparsities from counts.

    Args:
        live: layer name -> live weights.
        total: layer name -> weights, with the same names.
        dense: layers left dense on purpose (:func:`~tamis.sparsity.dense_layers`).

    Raises:
        UsageError: the names differ.
    """
    if set(live) != set(total):
        raise UsageError(f"live and total must name the same layers; they differ in {sorted(set(live) ^ set(total))}")
    kept, weights = sum(live.values()), sum(total.values())
    pruned_kept = sum(n for name, n in live.items() if name not in dense)
    pruned_weights = sum(n for name, n in total.items() if name not in dense)
    return AchievedSparsity(
        over_pruned=1.0 - pruned_kept / pruned_weights if pruned_weights else 0.0,
        over_all=1.0 - kept / weights if weights else 0.0,
        live=kept,
        total=weights,
    )


def uniform_shares(live: Mapping[str, int], total: Mapping[str, int], sparsity: float) -> dict[str, float]:
    """Layer name -> live weights as a share of what uniform pruning would leave, ``live / ((1 - sparsity) * total)``.

    A layer below 0.1 is close to collapse, a layer at 0 has collapsed.
    """
    return {name: live[name] / ((1.0 - sparsity) * n) if n else 1.0 for name, n in total.items()}


@dataclass(frozen=True)
class MaskChange:
    """The difference between two masks of the same weights.

    Attributes:
        hamming: positions that differ.
        zeros_added: zeros of the new mask minus zeros of the old one (negative if the new one is denser).
        percent: percent of all positions that were exchanged, ``100 * (hamming - |zeros_added|) / n``: change beyond
            what the change of sparsity explains (the published diagnostic of AC/DC, where sparsity never falls).
        iou: live in both / live in either; 1.0 if neither has a live weight.
        regrown_share: share of the new mask's live weights that were dead before; 0.0 if none live.
    """

    hamming: int
    zeros_added: int
    percent: float
    iou: float
    regrown_share: float


def mask_change(previous: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> MaskChange:
    """Compare two sets of masks over all layers together.

    Raises:
        UsageError: names or shapes differ.
    """
    return _summary([_overlap(previous, current, name) for name in _same_names(previous, current)])


def mask_changes(previous: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> dict[str, MaskChange]:
    """Compare two sets of masks layer by layer; UsageError if names or shapes differ."""
    return {name: _summary([_overlap(previous, current, name)]) for name in _same_names(previous, current)}


def _same_names(previous: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> list[str]:
    if set(previous) != set(current):
        raise UsageError(f"the masks name different layers: {sorted(set(previous) ^ set(current))}")
    return list(current)


def _overlap(previous: Mapping[str, Tensor], current: Mapping[str, Tensor], name: str) -> tuple[int, int, int, int]:
    """(weights, lost, gained, live in both) of one layer."""
    old, new = previous[name].bool(), current[name].bool()
    if old.shape != new.shape:
        raise UsageError(f"the masks of layer {name!r} differ in shape: {tuple(old.shape)} and {tuple(new.shape)}")
    both = int(torch.count_nonzero(old & new))
    return new.numel(), int(torch.count_nonzero(old)) - both, int(torch.count_nonzero(new)) - both, both


def _summary(parts: list[tuple[int, int, int, int]]) -> MaskChange:
    n, lost, gained, both = (sum(part[i] for part in parts) for i in range(4))
    return MaskChange(
        hamming=lost + gained,
        zeros_added=lost - gained,
        percent=100.0 * 2 * min(lost, gained) / n if n else 0.0,
        iou=both / (both + lost + gained) if both + lost + gained else 1.0,
        regrown_share=gained / (both + gained) if both + gained else 0.0,
    )


def mask_hash(masks: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over the names, shapes and bits of the masks, in the order of the mapping.

    Equal on every machine and rank that holds the same masks; it depends on neither device nor memory format.
    """
    digest = hashlib.sha256()
    for name, mask in masks.items():
        digest.update(f"{name}:{tuple(mask.shape)};".encode())
        digest.update(np.packbits(mask.bool().cpu().contiguous().numpy().reshape(-1)).tobytes())
    return digest.hexdigest()


def masks_from_zeros(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks of an already sparse model: True where a weight is not zero; -0.0 counts as zero.

    Args:
        weights: by layer name, any shape and float dtype.

    Returns:
        bool by layer name, of the weights' shapes, on their devices.

    Raises:
        UsageError: a weight is NaN; the layer is named.
    """
    for name, weight in weights.items():
        if bool(torch.isnan(weight).any()):
            raise UsageError(f"the weights of layer {name!r} contain NaN; load an undamaged checkpoint")
    return {name: (weight.detach() != 0).contiguous() for name, weight in weights.items()}


def zero_share(weights: Mapping[str, Tensor]) -> float:
    """Fraction of weights that are exactly zero (-0.0 included) over all tensors; 0.0 for no weights at all.

    In a dense phase of AC/DC it tells how dense the phase really is: a unit whose sides are both zero gets no gradient.
    """
    total = sum(weight.numel() for weight in weights.values())
    return 1.0 - sum(int(torch.count_nonzero(weight)) for weight in weights.values()) / total if total else 0.0
