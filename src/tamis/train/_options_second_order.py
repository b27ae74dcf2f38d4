"""Options of the methods that prune by curvature or by the inputs of layers; training data give the estimates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tamis.train._options import MethodOptions


@dataclass(frozen=True)
class FisherOptions(MethodOptions):
    """When a second-order method prunes, and what the estimate costs; with ``train.epochs = 0`` it prunes once."""

    start: float = 0.2
    """Share of the run before the first event."""
    end: float = 0.8
    """Share of the run at which the target is reached."""
    events: int = 16
    """Number of prunings between ``start`` and ``end``; 1 with ``start = end`` prunes once."""
    initial: float = 0.0
    """Fraction of zeros at the first event."""
    fisher_batch: int = 1
    """Samples that each gradient is the mean over."""
    memory_mb: int = 1024
    """MiB for the blocks that are worked on together; the data are passed over more often with less."""
    from_zeros: bool = False
    """Keep the zeros that the model starts with."""


@dataclass(frozen=True)
class WoodFisherOptions(FisherOptions):
    """WoodFisher."""

    block: int = 32
    """Weights per block of the Fisher matrix."""
    gradients: int = 400
    """Gradients per estimate."""
    damping: float = 1e-5
    """Added to the diagonal."""
    recomputations: int = 1
    """Cuts per event, with a new estimate before each."""
    flops_power: float = 0.0
    """Divide the saliency by the layer's FLOPs per weight to this power."""


@dataclass(frozen=True)
class MFACOptions(FisherOptions):
    """M-FAC: the same without matrices."""

    block: int | Literal["full"] = 128
    """Weights per block, or "full"."""
    gradients: int = 64
    """Gradients per estimate."""
    damping: float = 1e-5
    """Added to the diagonal."""
    recomputations: int = 16
    """Cuts per event, with a new estimate before each."""


@dataclass(frozen=True)
class OBERTOptions(FisherOptions):
    """oBERT."""

    block: int = 50
    """Weights per block of the Fisher matrix."""
    gradients: int = 1024
    """Gradients per estimate."""
    damping: float = 1e-7
    """Added to the diagonal."""
    recomputations: int = 1
    """Cuts per event, with a new estimate before each."""


@dataclass(frozen=True)
class CAPOptions(FisherOptions):
    """CAP: correlated elimination inside each block."""

    block: int = 256
    """Weights per block of the Fisher matrix."""
    gradients: int = 4096
    """Gradients per estimate."""
    damping: float = 1e-8
    """Added to the diagonal."""
    recomputations: int = 1
    """Cuts per event, with a new estimate before each."""
    update: Literal["correlated", "independent"] = "correlated"
    """How the weights that stay make up for those that go."""


@dataclass(frozen=True)
class WandaOptions(MethodOptions):
    """Wanda: by weight times norm of its input, row by row."""

    epoch: int = 0
    """Epochs of dense training before the pruning."""
    samples: int = 128
    """Training samples whose inputs are looked at."""
    sequential: bool = True
    """Prune layer after layer on what the pruned ones before it pass on."""
    from_zeros: bool = False
    """Keep the zeros that the model has then."""


@dataclass(frozen=True)
class SparseGPTOptions(WandaOptions):
    """SparseGPT: column by column, with compensation."""

    damping: float = 0.01
    """Added to the diagonal, as a share of its mean."""
    block: int = 128
    """Columns between two updates of all later ones."""
