"""What a peer is: another implementation that is measured beside ours, if it is installed and can serve the case."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from torch import Tensor, nn

from tamis.bench._problem import Contestant, Problem


class NotServed(Exception):
    """A peer cannot serve a case; the message says why, in a few words."""


@dataclass(frozen=True, eq=False)
class Network:
    """A whole network of a contestant.

    Attributes:
        call: input -> output.
        inputs: the input in the contestant's layout.
        module: owns the parameters; None for one that cannot be trained.
        note: what a reader should know about it.
    """

    call: Callable[[Tensor], Tensor]
    inputs: Tensor
    module: nn.Module | None = None
    note: str = ""


# A dense model with exact zeros in its weights (to be copied, not changed), its input, its sparsity; networks by name.
NetworkBuilder = Callable[[nn.Module, Tensor, float], Mapping[str, Network]]


@dataclass(frozen=True)
class Peer:
    """An implementation to measure beside ours.

    Attributes:
        name: as ``--peers`` takes it.
        packages: distributions it needs, first its own (whose version is reported); torch is always there.
        layer: contestants by name for one layer; raises :class:`NotServed`.  None: never serves layers.
        step: networks by name for a training step.
        infer: networks by name for inference, of a model in evaluation mode.
        per_sparsity: whether its time depends on the zeros; others are built once for all sparsities.
    """

    name: str
    packages: tuple[str, ...] = ()
    layer: Callable[[Problem], Mapping[str, Contestant]] | None = None
    step: NetworkBuilder | None = None
    infer: NetworkBuilder | None = None
    per_sparsity: bool = True

    @property
    def missing(self) -> str:
        """Which packages are not installed, as a sentence; empty when all are."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return f"not installed ({', '.join(absent)})" if absent else ""

    @property
    def version(self) -> str | None:
        """Version of its own package; None where torch itself is the peer or it is not installed."""
        if not self.packages or self.missing:
            return None
        return metadata.version(self.packages[0])

    def build(self, what: str, *arguments: Any) -> tuple[dict[str, Any], str]:
        """Contestants for ``what`` ("layer", "step" or "infer") by name, and why there are none.

        Every error of a peer becomes such a reason: a peer that fails must not end the measurement of the others.
        """
        if self.missing:
            return {}, self.missing
        builder = getattr(self, what)
        if builder is None:
            return {}, {"layer": "no single layers", "step": "no training", "infer": "no inference of networks"}[what]
        try:
            return dict(builder(*arguments)), ""
        except NotServed as reason:
            return {}, str(reason)
        except Exception as error:
            return {}, f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
