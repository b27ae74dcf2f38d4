"""Which units a mask has cut off, and which live weights still matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tamis.errors import UsageError


def units_without_fan_in(mask: Tensor) -> Tensor:
    """Bool (out,): True for an output that no live weight feeds; ``mask`` is bool (out, in, kernel...)."""
    return ~mask.bool().reshape(mask.shape[0], -1).any(dim=1)


def units_without_fan_out(mask: Tensor) -> Tensor:
    """Bool (in,): True for an input that no live weight reads; ``mask`` is bool (out, in, kernel...)."""
    return ~mask.bool().movedim(1, 0).reshape(mask.shape[1], -1).any(dim=1)


@dataclass(frozen=True)
class ChainPaths:
    """What is left of the input-output paths of a chain of layers.

    Attributes:
        no_fan_in: per hidden layer, the units that no live weight feeds (with a bias they are constants, not dead).
        no_fan_out: per hidden layer, the units whose output no live weight reads.
        live: live weights of the masks.
        effective: live weights that lie on a path from an input to an output.
    """

    no_fan_in: tuple[tuple[int, ...], ...]
    no_fan_out: tuple[tuple[int, ...], ...]
    live: int
    effective: int


def chain_paths(masks: Sequence[Tensor]) -> ChainPaths:
    """Dead units and effective weights of layers that feed each other in order.

    A layer may read more inputs than the layer before has outputs if these divide them: a linear layer after flattened
    channels of several positions each.  Networks with branches need :func:`units_without_fan_in` per layer instead.

    Args:
        masks: bool tensors (out, in, kernel...), in the order of the forward pass.

    Raises:
        UsageError: there is no mask, a mask has fewer than two dimensions, or two neighbours do not fit.
    """
    if not masks or any(mask.dim() < 2 for mask in masks):
        raise UsageError("expected at least one mask, each of shape (out, in, ...) with two or more dimensions")
    for before, after in pairwise(masks):
        if after.shape[1] % before.shape[0]:
            raise UsageError(
                f"a layer with {after.shape[1]} inputs cannot follow one with {before.shape[0]} outputs: "
                "give the masks of one chain of layers in forward order"
            )
    fed = torch.ones(masks[0].shape[1], dtype=torch.bool, device=masks[0].device)
    fed_inputs = []
    for mask in masks:  # which inputs of each layer does the network's input reach?
        fed = fed.repeat_interleave(mask.shape[1] // fed.numel())
        fed_inputs.append(fed)
        fed = (_connections(mask) & fed).any(dim=1)
    read = torch.ones(masks[-1].shape[0], dtype=torch.bool, device=masks[-1].device)
    effective = 0
    for mask, fed in zip(reversed(masks), reversed(fed_inputs), strict=True):  # ... and does it reach the output?
        read = read.reshape(mask.shape[0], -1).any(dim=1)  # positions of one channel, after flattening
        useful = (read[:, None] & fed[None, :]).reshape(*mask.shape[:2], *[1] * (mask.dim() - 2))
        effective += int(torch.count_nonzero(mask.bool() & useful))
        read = (_connections(mask) & read[:, None]).any(dim=0)
    hidden = pairwise(masks)
    outs = [
        (units_without_fan_in(mask), units_without_fan_out(after).reshape(mask.shape[0], -1).all(dim=1))
        for mask, after in hidden
    ]
    return ChainPaths(
        no_fan_in=tuple(_indices(no_in) for no_in, _ in outs),
        no_fan_out=tuple(_indices(no_out) for _, no_out in outs),
        live=sum(int(torch.count_nonzero(mask)) for mask in masks),
        effective=effective,
    )


def _connections(mask: Tensor) -> Tensor:
    """Bool (out, in): whether any kernel position connects the two."""
    return mask.bool().reshape(*mask.shape[:2], -1).any(dim=2)


def _indices(flags: Tensor) -> tuple[int, ...]:
    return tuple(flags.nonzero().reshape(-1).tolist())
