"""Gradual magnitude pruning.

Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression" (2017), with the
cubic schedule of their equation 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._pruned_values import PrunedValues
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import (
    PruneEvent,
    check_combination,
    check_sparsity,
    gmp_events,
    spread_events,
)


class GMP(Sparsifier):
    """Prune by magnitude a little more at every event, along a cubic curve that ends at exactly the target.

    Args:
        sparsity: fraction of zeros after the last event, in [0, 1).
        total_steps: optimizer steps of the whole run.
        start: share of the run before the first event, in [0, 1].
        end: share of the run at which the target is reached, ``start <= end <= 1``.
        events: number of mask changes, evenly spaced from ``start`` to ``end``, at least 1 (2 if ``start < end``).
        initial: fraction of zeros at the first event, in [0, sparsity].
        revive: False nests the masks: what is pruned stays pruned.  True ranks the unmasked copy, in which pruned
            weights keep the values that they had (Zhu and Gupta); a weight that comes back has that value and the
            optimizer state of a new weight.
        from_zeros: keep the zeros that the model has at :meth:`attach`; not together with ``revive``.
        **options: see :class:`Sparsifier`.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "gmp"

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        start: float = 0.2,
        end: float = 0.8,
        events: int = 16,
        initial: float = 0.0,
        revive: bool = False,
        from_zeros: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **options)
        plan = spread_events(total_steps, start, end, events, initial, self.sparsity)
        self._set_up(list(plan), initial, revive, from_zeros)

    @classmethod
    def at_steps(
        cls,
        sparsity: float,
        start: int,
        end: int,
        every: int,
        *,
        initial: float = 0.0,
        revive: bool = False,
        from_zeros: bool = False,
        **options: Any,
    ) -> GMP:
        """Events at the steps ``start, start + every, ...`` and at ``end``, as published recipes state them."""
        made = cls(
            sparsity,
            max(1, end),
            start=1.0,
            end=1.0,
            events=1,
            initial=initial,
            revive=revive,
            from_zeros=from_zeros,
            **options,
        )
        made._set_up(list(gmp_events(start, end, every, initial, made.sparsity)), initial, revive, from_zeros)
        return made

    def _set_up(self, plan: list[PruneEvent], initial: float, revive: bool, from_zeros: bool) -> None:
        if check_sparsity(initial, "initial") > self.sparsity:
            raise UsageError(f"initial={initial} is above the target sparsity {self.sparsity}")
        if revive and from_zeros:
            raise UsageError("revive=True lets pruned weights come back, from_zeros=True keeps zeros: choose one")
        for event in plan:
            check_combination(event.sparsity, self.distribution, self.pattern)
        self.plan = tuple(plan)
        self.revive = revive
        self.from_zeros = from_zeros
        self._targets = {event.step: event.sparsity for event in plan}
        self._begin_run()

    def _begin_run(self) -> None:
        self._pruned = PrunedValues()

    def _enter(self, step: int) -> None:
        if step == 0 and self.from_zeros:
            self._hold_zeros()
        if step in self._targets:
            self._prune(self._targets[step])

    @torch.no_grad()
    def _prune(self, target: float) -> None:
        self._announce()
        supports = self._attached()
        present = supports.masks
        if not self.revive:
            scores = {name: weight.abs() for name, weight in supports.weights().items()}
            self._hold(self._choose(scores, target, present), "prune", target)
            return
        full = self._pruned.fill(supports.weights(), present)
        masks = self._choose({name: weight.abs() for name, weight in full.items()}, target, {})
        self._pruned.remember(full, masks)
        if present:
            supports.release()
            for name, layer in supports.layers.items():
                layer.weight.copy_(full[name])
            self._reset_state({name: mask & ~present[name] for name, mask in masks.items()})
        self._hold(masks, "prune", target)

    def _configuration(self) -> dict[str, Any]:
        return {
            "plan": [[event.step, event.sparsity] for event in self.plan],
            "revive": self.revive,
            "from_zeros": self.from_zeros,
        }

    def _own_state(self) -> SparsifierState:
        return {"tensors": self._pruned.tensors(), "json": {}}

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._pruned.load(tensors)
