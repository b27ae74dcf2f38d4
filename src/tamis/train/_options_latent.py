"""Options of the methods that train dense weights through a sparse forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.train._options import MethodOptions


@dataclass(frozen=True)
class STEOptions(MethodOptions):
    """Straight-through pruning: the mask follows the latent weights at every step."""

    start: float = 0.0
    """Share of the run before the sparsity begins to grow."""
    end: float = 0.0
    """Share of the run at which the target is reached; with ``start = 0`` and ``end = 0`` from the first step on."""
    initial: float = 0.0
    """Fraction of zeros at ``start``."""


@dataclass(frozen=True)
class DPFOptions(MethodOptions):
    """DPF: as straight-through pruning, with a mask that rests between its updates."""

    start: float = 0.0
    """Share of the run before the sparsity begins to grow."""
    end: float = 0.5
    """Share of the run at which the target is reached."""
    every: int = 16
    """Optimizer steps from one mask to the next."""
    initial: float = 0.0
    """Fraction of zeros at ``start``."""


@dataclass(frozen=True)
class SRSTEOptions(MethodOptions):
    """SR-STE: N:M patterns with decay of the pruned weights."""

    strength: float = 2e-4
    """Of the decay of latent weights that the mask removes."""


@dataclass(frozen=True)
class STROptions(MethodOptions):
    """STR: a trained threshold per layer; the sparsity is an outcome of the weight decay."""

    initial_logit: float = -3200.0
    """First value of every threshold's logit."""
    trim: bool = False
    """Cut to exactly ``sparsity`` by magnitude at the end if fewer weights are zero."""
