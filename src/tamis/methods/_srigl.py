"""SRigL: RigL with a constant fan-in and ablation of neurons.

Lasby, Golubeva, Evci, Nica, Ioannou, "Dynamic Sparse Training with Structured Sparsity" (ICLR 2024).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._grow_by_gradient import GrowByGradient
from tamis.sparsity import FanIn, dense_layers, fan_in_update

_FAN_IN = FanIn()


class SRigL(GrowByGradient):
    """RigL in which every neuron (row of a weight) has the same number of live weights, or none.

    At an update a neuron with fewer than ``gamma * fan_in`` salient weights loses all its weights for good, and its
    share of the layer's budget goes to the neurons that are left (see :func:`tamis.sparsity.fan_in_update`).  A layer
    exceeds its budget by less than one weight per neuron.

    Args:
        sparsity: fraction of zeros in [0, 1).
        total_steps: optimizer steps of the whole run.
        gamma: share of the fan-in below which a neuron is ablated, in [0, 1]; 0 ablates nothing.
        keep_neurons: names of layers that lose no neuron; None means the last governed layer, whose neurons are the
            outputs of the network, an empty list none.
        **options: see :class:`~tamis.methods.DynamicSparse` and :class:`Sparsifier`; the pattern is ``FanIn()``.
            ``from_zeros`` is refused, because the zeros of a model have no constant fan-in.

    Raises:
        UsageError: the choices do not fit each other, or ``keep_neurons`` names a layer that is not governed.
    """

    method = "srigl"
    _moves = FanIn

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        gamma: float = 0.3,
        keep_neurons: Collection[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, total_steps, **{"pattern": _FAN_IN, **options})
        if self.from_zeros:
            raise UsageError(
                "SRigL needs a constant fan-in, which the zeros of a model do not have; leave from_zeros out"
            )
        if not 0.0 <= gamma <= 1.0:
            raise UsageError(f"gamma must be a share of the fan-in in [0, 1]; got {gamma!r}")
        self.gamma = float(gamma)
        self.keep_neurons = None if keep_neurons is None else sorted(keep_neurons)

    def _begin_run(self) -> None:
        super()._begin_run()
        self._budgets: dict[str, int] = {}

    def _start(self) -> None:
        supports = self._attached()
        unknown = sorted(set(self.keep_neurons or ()) - set(supports.layers))
        if unknown:
            raise UsageError(f"keep_neurons names {unknown}; the governed layers are {list(supports.layers)}")
        super()._start()

    def _choose(self, scores: Mapping[str, Tensor], sparsity: float, within: Mapping[str, Tensor]) -> dict[str, Tensor]:
        dense = dense_layers(list(scores), self.distribution, self.pattern)
        self._budgets = self.distribution.keep_counts(scores, sparsity, also_dense=dense)
        return super()._choose(scores, sparsity, within)

    def _exchange(self, name: str, weight: Tensor, mask: Tensor, growth: Tensor, count: int) -> Tensor:
        if not bool(mask.any()):
            return mask
        names = list(self._attached().layers)
        kept = names[-1:] if self.keep_neurons is None else self.keep_neurons
        gamma = 0.0 if name in kept else self.gamma
        return fan_in_update(weight, mask, growth, count, self._budgets[name], gamma).mask

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "gamma": self.gamma, "keep_neurons": self.keep_neurons}

    def _own_state(self) -> SparsifierState:
        own = super()._own_state()
        return {"tensors": own["tensors"], "json": own["json"] | {"budgets": dict(self._budgets)}}

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._budgets = {name: int(count) for name, count in json["budgets"].items()}
        super()._load_own_state(tensors, json)
