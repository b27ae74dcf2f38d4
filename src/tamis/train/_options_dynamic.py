"""Options of dynamic sparse training and of random masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tamis.train._options import MethodOptions


@dataclass(frozen=True)
class DynamicOptions(MethodOptions):
    """SET, RigL: masks that move while every layer keeps its count."""

    every: int = 100
    """Optimizer steps from one update to the next."""
    alpha: float = 0.3
    """Share of a layer's live weights that the first update exchanges."""
    end: float = 0.75
    """Last moment of an update: a share of the run up to 1, whole steps above."""
    anneal: Literal["cosine", "constant"] = "cosine"
    """Let the share fall to 0 at ``end``, or keep it."""
    first_update_at_zero: bool = False
    """Update at step 0 too."""
    initial: Literal["random", "magnitude"] = "random"
    """Draw the first masks, or take the largest weights."""
    from_zeros: bool = False
    """Choose the first masks inside the support that the model starts with."""
    seed: int = 0
    """Of the random choices."""


@dataclass(frozen=True)
class SNFSOptions(DynamicOptions):
    """SNFS: grow by the running mean of the gradients."""

    decay: float = 0.9
    """Of the running mean."""


@dataclass(frozen=True)
class SRigLOptions(DynamicOptions):
    """SRigL: RigL with a constant fan-in and ablation of neurons."""

    gamma: float = 0.3
    """Neurons with fewer salient weights than this share of the fan-in are ablated."""


@dataclass(frozen=True)
class TopKASTOptions(MethodOptions):
    """Top-KAST: a forward mask inside a larger mask of gradients."""

    backward_sparsity: float | None = None
    """Fraction of zeros of the larger mask; not given: twice the live weights."""
    every: int = 100
    """Optimizer steps from one refresh of the masks to the next."""
    strength: float = 1e-4
    """Of the penalty on the weights of the larger mask."""


@dataclass(frozen=True)
class StaticOptions(MethodOptions):
    """A random mask from the start."""

    seed: int = 0
    """Of the masks."""


@dataclass(frozen=True)
class RandomPruningOptions(MethodOptions):
    """Pruning random weights, once."""

    epoch: int = 0
    """Epochs of dense training before the pruning."""
    from_zeros: bool = False
    """Keep the zeros that the model has then."""
    seed: int = 0
    """Of the masks."""
