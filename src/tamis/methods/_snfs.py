"""SNFS: sparse networks from scratch, growing where the gradients' momentum is largest.

Dettmers and Zettlemoyer, "Sparse Networks from Scratch: Faster Training without Losing Performance" (2019), in the form
of the code published with RigL: counts per layer stay as they are, where the paper also moves them between layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._dense_gradients import DenseGradients
from tamis.methods._dynamic import DynamicSparse
from tamis.methods._ledger import ForwardFraction, Stretch, partly_dense_cost
from tamis.sparsity import dense_gradient_cost


class SNFS(DynamicSparse):
    """Drop the smallest magnitudes, grow where the running mean of the dense gradient is largest, after the step.

    Dense gradients are needed at every step up to the last update, so layers run masked until then.  The running mean
    costs one dense copy of the governed weights.

    Args:
        sparsity: fraction of zeros in [0, 1).
        total_steps: optimizer steps of the whole run.
        decay: of the running mean ``m = decay * m + (1 - decay) * gradient``, in [0, 1).
        **options: see :class:`~tamis.methods.DynamicSparse` and :class:`Sparsifier`.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "snfs"
    cost_rule = "2 f(live) + f_D until the last update, then 3 f(live)"

    def __init__(self, sparsity: float, total_steps: int, *, decay: float = 0.9, **options: Any) -> None:
        super().__init__(sparsity, total_steps, **options)
        if not 0.0 <= decay < 1.0:
            raise UsageError(f"decay must be in [0, 1); got {decay!r}")
        if self.first_update_at_zero:
            raise UsageError("SNFS has no mean of gradients at step 0 to grow by; leave first_update_at_zero out")
        self.decay = float(decay)

    def _begin_run(self) -> None:
        super()._begin_run()
        self._gradients = DenseGradients()
        self._means: dict[str, Tensor] = {}
        self._seen = -1

    def _enter(self, step: int) -> None:
        if step == 0:
            self._start()
        if self._means and self._is_update(step):
            self._announce()
            self._update({name: mean.abs() for name, mean in self._means.items()})
        if not self._needs_gradients(step):
            if self._means:
                self._means = {}
                self._attached().hold(self._attached().masks)  # masks rest from now on, so layers may be packed
            return
        if self._attached().packed_layers:
            self._show_if_needed()
            self.events[-1]["packed"] = []

    def _needs_gradients(self, step: int) -> bool:
        later = range((step // self.every + 1) * self.every, self.end + 1, self.every)
        return any(self.fraction(moment) > 0.0 for moment in later)

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero now; the running mean has seen them."""
        supports = self._attached()
        if self._needs_gradients(self.step):
            self._gradients.keep(supports.layers, supports.masks)
        super().mask_gradients()

    @torch.no_grad()
    def _on_gradients(self) -> bool:
        if self._seen < self.step and self._needs_gradients(self.step):
            self._seen = self.step  # a closure that is called again counts once
            supports = self._attached()
            for name, gradient in self._gradients.take(supports.layers, supports.masks).items():
                if name not in self._means:
                    self._means[name] = torch.zeros_like(gradient)
                self._means[name].mul_(self.decay).add_(gradient, alpha=1.0 - self.decay)
        return False

    def _training_cost(self, stretch: Stretch) -> float:
        steps = range(stretch.start, stretch.end)
        return partly_dense_cost(stretch.forward, sum(map(self._needs_gradients, steps)) / len(steps))

    def _published_cost(self, live: Mapping[str, int], fraction: ForwardFraction) -> float:
        return dense_gradient_cost(fraction(live))

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "decay": self.decay}

    def _own_state(self) -> SparsifierState:
        own = super()._own_state()
        return {"tensors": own["tensors"] | {f"mean/{n}": mean.clone() for n, mean in self._means.items()}, "json": {}}

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._seen = -1
        layers = self._attached().layers
        means = {n.removeprefix("mean/"): t for n, t in tensors.items() if n.startswith("mean/")}
        self._means = {name: mean.to(layers[name].weight.device, copy=True) for name, mean in means.items()}
        super()._load_own_state(tensors, json)
