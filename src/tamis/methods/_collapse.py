"""Layers that a selection starves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from tamis.errors import CollapseError
from tamis.sparsity import live_counts, uniform_shares

# Below a tenth of its uniform share a layer was seen to collapse in the alternations that follow.
STARVED_SHARE = 0.1


class CollapseWarning(UserWarning):
    """A layer keeps less than a tenth of what uniform pruning would leave of it, or nothing at all."""


def check_collapse(
    masks: Mapping[str, Tensor], sparsity: float, step: int, on_collapse: Literal["error", "warn"]
) -> None:
    """Look at masks before they are put in force.

    Plain global magnitude pruning can empty the output layer of a small network at 98 %; once empty, the network's
    accuracy is that of guessing, and its masks repeat for ever.

    Args:
        masks: bool masks by layer name.
        sparsity: what they were selected for.
        step: optimizer steps done, for the message.
        on_collapse: ``"error"`` or ``"warn"`` where a layer keeps no weight.

    Raises:
        CollapseError: a layer keeps no weight and ``on_collapse`` is ``"error"``.

    Warns:
        CollapseWarning: a layer keeps less than a tenth of ``(1 - sparsity) * n`` weights.
    """
    live, total = live_counts(masks), {name: mask.numel() for name, mask in masks.items()}
    empty = [name for name, count in live.items() if count == 0 and total[name]]
    if empty and on_collapse == "error":
        raise CollapseError(
            f"at sparsity {sparsity:g} no weight survives in {', '.join(empty)} (step {step}); give the distribution "
            "a floor, such as Global(floor=0.2), exclude the layer, or pass on_collapse='warn'"
        )
    shares = uniform_shares(live, total, sparsity) if sparsity < 1.0 else dict.fromkeys(live, 0.0)
    starved = [f"{name} ({live[name]} of {total[name]})" for name, share in shares.items() if share < STARVED_SHARE]
    if starved:
        warnings.warn(
            f"step {step}: less than {STARVED_SHARE:.0%} of their uniform share survives in {', '.join(starved)}; "
            "these layers may collapse (see the floor of Global)",
            CollapseWarning,
            stacklevel=4,
        )
