"""Updates that replace an optimizer step and look at its dense gradients: what RigL and SRigL share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tamis.methods._dense_gradients import DenseGradients
from tamis.methods._dynamic import DynamicSparse
from tamis.methods._ledger import ForwardFraction, Stretch, partly_dense_cost
from tamis.sparsity import rigl_cost


class GrowByGradient(DynamicSparse):
    """Base of RigL and SRigL (abstract): grow where the dense gradient is largest, in place of an optimizer step.

    Layers are masked, not packed, for the forward and backward pass of that one step.
    """

    cost_rule = "3 f(live), at updates 2 f(live) + f_D"

    def _begin_run(self) -> None:
        super()._begin_run()
        self._gradients = DenseGradients()
        self._updated = -1

    def _enter(self, step: int) -> None:
        if step == 0:
            self._start()
        self._show_if_needed()

    def _needs_gradients(self, step: int) -> bool:
        return self._is_update(step)

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero now; an update that is due has seen them."""
        supports = self._attached()
        if self._needs_gradients(self.step):
            self._gradients.keep(supports.layers, supports.masks)
        super().mask_gradients()

    def _on_gradients(self) -> bool:
        if self._updated == self.step:
            return True  # the optimizer calls its closure again
        if not self._needs_gradients(self.step):
            return False
        supports = self._attached()
        gradients = self._gradients.take(supports.layers, supports.masks)
        if not gradients:
            return False  # nothing was differentiated, so there is no step to replace
        self._announce()
        self._update({name: gradient.abs() for name, gradient in gradients.items()})
        self._updated = self.step
        return True

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._gradients, self._updated = DenseGradients(), -1
        super()._load_own_state(tensors, json)

    def _training_cost(self, stretch: Stretch) -> float:
        dense = self._updates_in(stretch.row) / (stretch.end - stretch.start)
        return partly_dense_cost(stretch.forward, dense)

    def _published_cost(self, live: Mapping[str, int], fraction: ForwardFraction) -> float:
        return rigl_cost(fraction(live), self.every, min(1.0, self.end / self.total_steps))
