"""Options of pruning at initialisation."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.train._options import MethodOptions


@dataclass(frozen=True)
class SNIPOptions(MethodOptions):
    """SNIP: by gradient times weight on one batch."""

    samples: int = 128
    """Training samples of that batch."""
    from_zeros: bool = False
    """Keep the zeros that the model starts with."""


@dataclass(frozen=True)
class GraSPOptions(MethodOptions):
    """GraSP: keep the flow of gradients."""

    samples_per_class: int | None = None
    """Training samples of each class; not given: 25, or 10 from 100 classes on."""
    temperature: float = 200.0
    """What the logits are divided by."""
    reinitialise: bool = False
    """Draw linear layers anew (Xavier) before scoring, as the published code does."""
    from_zeros: bool = False
    """Keep the zeros that the model starts with."""


@dataclass(frozen=True)
class SynFlowOptions(MethodOptions):
    """SynFlow: by the flow of a constant input, without data."""

    rounds: int = 100
    """Prunings on the way to the target."""
    from_zeros: bool = False
    """Keep the zeros that the model starts with."""
