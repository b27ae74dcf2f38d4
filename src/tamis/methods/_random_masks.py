"""Baselines without any criterion: random masks that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tamis.errors import UsageError
from tamis.methods._ledger import ForwardFraction
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import ERK, Uniform, masks_from_zeros, random_score, static_cost

_ERK, _UNIFORM = ERK(), Uniform()


class RandomPruning(Sparsifier):
    """Prune weights at random, once, and train on with the mask: the baseline of one-shot pruning.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        at_step: optimizer steps before the pruning; 0 prunes in :meth:`attach`.
        from_zeros: prune inside the support that the model has then, so that its zeros stay.
        seed: of the random choice.
        **options: see :class:`Sparsifier`; the distribution is uniform unless given.
    """

    method = "randompruning"

    def __init__(
        self, sparsity: float, *, at_step: int = 0, from_zeros: bool = False, seed: int = 0, **options: Any
    ) -> None:
        super().__init__(sparsity, **{"distribution": _UNIFORM, **options})
        if at_step < 0:
            raise UsageError(f"at_step must be at least 0; got {at_step}")
        self.at_step = at_step
        self.from_zeros = from_zeros
        self.seed = seed

    def _enter(self, step: int) -> None:
        if step != self.at_step:
            return
        self._announce()
        weights = self._attached().weights()
        generator = torch.Generator().manual_seed(self.seed)
        scores = {name: random_score(weight, generator).to(weight.device) for name, weight in weights.items()}
        masks = self._choose(scores, self.sparsity, masks_from_zeros(weights) if self.from_zeros else {})
        self._hold(masks, "prune", self.sparsity)

    def _configuration(self) -> dict[str, Any]:
        return {"at_step": self.at_step, "from_zeros": self.from_zeros, "seed": self.seed}


class Static(Sparsifier):
    """Train from scratch with a random mask that never changes: the baseline of dynamic sparse training.

    "Static" in Evci et al., "Rigging the Lottery" (ICML 2020).

    Args:
        sparsity: fraction of zeros, in [0, 1).
        seed: of the random choice.
        **options: see :class:`Sparsifier`; the distribution is ERK unless given.
    """

    method = "static"

    def __init__(self, sparsity: float, *, seed: int = 0, **options: Any) -> None:
        super().__init__(sparsity, **{"distribution": _ERK, **options})
        self.seed = seed

    def _enter(self, step: int) -> None:
        if step == 0:
            generator = torch.Generator().manual_seed(self.seed)
            weights = self._attached().weights()
            scores = {name: random_score(weight, generator).to(weight.device) for name, weight in weights.items()}
            self._hold(self._choose(scores, self.sparsity, {}), "prune", self.sparsity)

    def _published_cost(self, live: Mapping[str, int], fraction: ForwardFraction) -> float:
        return static_cost(fraction(live))

    def _configuration(self) -> dict[str, Any]:
        return {"seed": self.seed}
