"""What the methods of dynamic sparse training share: a schedule of mask updates that keep every layer's count."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import (
    ERK,
    FanIn,
    Unstructured,
    carry_over,
    check_combination,
    cosine_decay,
    drop_and_grow,
    magnitude_score,
    masks_from_zeros,
    random_score,
    step_of,
    update_count,
)

_ERK = ERK()


class DynamicSparse(Sparsifier):
    """Base of SET, RigL, SNFS and SRigL (abstract): sparse from the first step, with masks that move.

    At every update each layer drops the ``int(fraction * live)`` smallest magnitudes among its live weights and grows
    as many others, those that were dropped a moment ago included.  A weight that is dropped and grown at once keeps its
    value and its optimizer state; a newly grown one starts at 0 with the state of a new weight.

    Updates are due after ``every``, ``2 * every``, ... optimizer steps, until ``end``.  An update at which the fraction
    is too small to exchange one weight in any layer does not take place.  Layers that are not trained keep their masks.

    Args:
        sparsity: fraction of zeros in [0, 1).
        total_steps: optimizer steps of the whole run.
        every: steps from one update to the next (100 as published for batches of 4096; see
            :func:`tamis.sparsity.update_interval` for smaller ones).
        alpha: share of a layer's live weights that the first update exchanges, in [0, 1].
        end: last moment of an update, as a share of the run (a number up to 1) or in whole steps (above 1).
        anneal: ``"cosine"`` lets the share fall from ``alpha`` at step 0 to 0 at ``end``, ``"constant"`` keeps it.
        first_update_at_zero: update at step 0 too, as the published code does.
        initial: ``"random"`` draws the first masks, ``"magnitude"`` takes the largest weights, for a trained model.
        from_zeros: choose the first masks inside the support that the model has at :meth:`attach`; later updates may
            grow other weights.
        seed: of the random choices.
        **options: see :class:`Sparsifier`; the distribution is ERK unless given.

    Raises:
        UsageError: the choices do not fit each other.
    """

    _moves: ClassVar[type] = Unstructured  # the pattern that the updates of this method keep

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        every: int = 100,
        alpha: float = 0.3,
        end: float = 0.75,
        anneal: Literal["cosine", "constant"] = "cosine",
        first_update_at_zero: bool = False,
        initial: Literal["random", "magnitude"] = "random",
        from_zeros: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **{"distribution": _ERK, **options})
        if self.reparameterise is not None:
            raise UsageError(
                f"{type(self).__name__} grows weights from 0, where {self.reparameterise!r} gives them no gradient; "
                "leave reparameterise out"
            )
        if not isinstance(self.pattern, self._moves):
            raise UsageError(
                f"{type(self).__name__} moves single weights, which would leave {self.pattern!r}; "
                + ("use SRigL for a constant fan-in" if isinstance(self.pattern, FanIn) else "leave pattern out")
                + (", or Static for a fixed mask with this pattern" if self._moves is Unstructured else "")
            )
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UsageError(f"every must be a whole number of at least 1 optimizer step; got {every!r}")
        if not 0.0 <= alpha <= 1.0:
            raise UsageError(f"alpha must be a share of the live weights in [0, 1]; got {alpha!r}")
        if anneal not in ("cosine", "constant"):
            raise UsageError(f"anneal must be 'cosine' or 'constant'; got {anneal!r}")
        if initial not in ("random", "magnitude"):
            raise UsageError(f"initial must be 'random' or 'magnitude'; got {initial!r}")
        check_combination(self.sparsity, self.distribution, self.pattern)
        self.total_steps = total_steps
        self.every = every
        self.alpha = float(alpha)
        self.end = step_of(end, total_steps, "end")
        self.anneal = anneal
        self.first_update_at_zero = first_update_at_zero
        self.initial = initial
        self.from_zeros = from_zeros
        self.seed = seed
        self._begin_run()

    def _begin_run(self) -> None:
        self._generator = torch.Generator()
        self._generator.manual_seed(self.seed)

    # ---- the schedule ------------------------------------------------------------------------------------------

    def fraction(self, step: int) -> float:
        """Share of a layer's live weights that is exchanged at ``step``, 0 where no update is due."""
        due = step % self.every == 0 and step <= self.end and (step > 0 or self.first_update_at_zero)
        if not due:
            return 0.0
        return self.alpha if self.anneal == "constant" else cosine_decay(step, 0, self.end, self.alpha)

    def _is_update(self, step: int, live: Mapping[str, int] | None = None) -> bool:
        """Whether some layer exchanges a weight at ``step``; ``live`` counts are the present ones unless given."""
        fraction = self.fraction(step)
        if fraction == 0.0:
            return False
        counts = self._attached().live_counts() if live is None else live
        return any(update_count(count, fraction) > 0 for count in counts.values())

    # ---- what a method decides ---------------------------------------------------------------------------------

    @abstractmethod
    def _needs_gradients(self, step: int) -> bool:
        """Whether optimizer step number ``step`` must show the gradients of pruned weights too."""

    def _exchange(self, name: str, weight: Tensor, mask: Tensor, growth: Tensor, count: int) -> Tensor:
        """The layer's new mask after an exchange of ``count`` weights by growth score."""
        return drop_and_grow(weight, mask, growth, count).mask

    # ---- the work ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Choose the first masks and put them in force."""
        weights = self._attached().weights()
        within = masks_from_zeros(weights) if self.from_zeros else {}
        masks = self._choose(self._initial_scores(weights), self.sparsity, within)
        self._hold(masks, "prune", self.sparsity)

    def _initial_scores(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.initial == "magnitude":
            return {name: magnitude_score(weight) for name, weight in weights.items()}
        return self._random_scores(weights)

    def _random_scores(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: random_score(weight, self._generator).to(weight.device) for name, weight in weights.items()}

    def _show_if_needed(self) -> None:
        supports = self._attached()
        if supports.packed_layers and self._needs_gradients(self.step):
            supports.show_gradients()

    @torch.no_grad()
    def _update(self, growth: Mapping[str, Tensor]) -> None:
        """Exchange weights by ``growth`` scores (layer name -> tensor); layers that it lacks keep their masks.

        Call ``_announce`` before the scores are made.
        """
        supports = self._attached()
        present, weights = supports.masks, supports.weights()
        fraction = self.fraction(self.step)
        masks = {
            name: self._exchange(name, weights[name], mask, growth[name], update_count(int(mask.sum()), fraction))
            if name in growth
            else mask
            for name, mask in present.items()
        }
        supports.release()
        for name, layer in supports.layers.items():
            layer.weight.copy_(carry_over(weights[name], present[name], masks[name]))
        self._reset_state({name: mask & ~present[name] for name, mask in masks.items()})
        self._hold(masks, "prune", self.sparsity)

    # ---- ledger and checkpoints --------------------------------------------------------------------------------

    def _updates_in(self, row: Mapping[str, Any]) -> int:
        """Updates before the optimizer steps ``start`` to ``end`` (exclusive) of a row of the history."""
        first = -(-row["start"] // self.every) * self.every
        return sum(self._is_update(step, row["live"]) for step in range(first, row["end"], self.every))

    def _configuration(self) -> dict[str, Any]:
        keys = ("every", "alpha", "end", "anneal", "first_update_at_zero", "initial", "from_zeros", "seed")
        return {key: getattr(self, key) for key in keys}

    def _own_state(self) -> SparsifierState:
        return {"tensors": {"generator": self._generator.get_state().clone()}, "json": {}}

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._generator.set_state(tensors["generator"].clone())
        self._show_if_needed()  # between two steps of which the next needs gradients, layers are masked
