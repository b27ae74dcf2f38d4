"""Iterative magnitude pruning: train, prune a share of what is left, go back, train again.

What :class:`~tamis.methods.LotteryTicket`, :class:`~tamis.methods.LTHT` and :class:`~tamis.methods.LRR` share; they
differ in what goes back at the end of a level.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._optimizer_state import restart, state_by_position
from tamis.methods._sparsifier import Sparsifier
from tamis.methods._tree import flatten, unflatten
from tamis.sparsity import (
    check_combination,
    dense_layers,
    iterative_counts,
    keep_count,
    live_counts,
    nominal_sparsity,
)

ROUNDING_GUARD = 1e-9  # 0.488 is three levels of 0.2, whatever the logarithms round to


class Levels(Sparsifier):
    """Levels of training, each at a mask of its own (abstract).  One object spans the whole run.

    Level 0 trains ``first_steps`` steps at the model's own support.  Every later level begins with a pruning by
    magnitude over all layers that removes ``ceil(fraction * remaining)`` weights, and trains the rest of the schedule
    of ``steps_per_level`` steps, from its step ``rewind_step`` on.  The last pruning hits the target exactly.

    The learning rate is the user's: it is a function of :attr:`schedule_step` and :attr:`schedule_steps`, which start
    again with every level.

    Args:
        sparsity: fraction of zeros after the last level, in [0, 1).
        total_steps: optimizer steps of all levels together; level 0 takes what does not divide.
        steps_per_level: instead of ``total_steps``, the optimizer steps of one schedule.
        first_steps: with ``steps_per_level``, the optimizer steps of level 0 if they are others.
        rewind_step: step of the schedule at which later levels begin: a whole number, or a share in (0, 1) of
            ``steps_per_level``.  They train ``steps_per_level - rewind_step`` steps each.
        fraction: share of the remaining weights that a level removes, in (0, 1).
        from_zeros: keep the zeros that the model has at :meth:`attach`.
        **options: see :class:`Sparsifier`; the published runs rank globally without a floor, which is
            ``distribution=Global(floor=0)``.

    Attributes:
        levels: number of prunings.
        starts: first optimizer step of each level, ``levels + 1`` numbers.

    Raises:
        UsageError: the choices do not fit each other.
    """

    def __init__(
        self,
        sparsity: float,
        total_steps: int | None = None,
        *,
        steps_per_level: int | None = None,
        first_steps: int | None = None,
        rewind_step: float = 0,
        fraction: float = 0.2,
        from_zeros: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **options)
        if not 0.0 < fraction < 1.0:
            raise UsageError(f"fraction must be in (0, 1), the share of weights that a level removes; got {fraction!r}")
        self.fraction = fraction
        self.levels = level_count(self.sparsity, fraction)
        for level in range(1, self.levels):
            check_combination(nominal_sparsity(level, fraction), self.distribution, self.pattern)
        if (total_steps is None) == (steps_per_level is None) or (total_steps is not None and first_steps is not None):
            raise UsageError(
                "give total_steps for all levels together, or steps_per_level (and first_steps, if level 0 has others)"
            )
        if steps_per_level is None:
            assert total_steps is not None
            steps_per_level = _share_out(total_steps, self.levels, rewind_step)
            first_steps = total_steps - self.levels * (steps_per_level - _steps(rewind_step, steps_per_level))
        self.steps_per_level = steps_per_level
        self.first_steps = steps_per_level if first_steps is None else first_steps
        self.rewind_step = _steps(rewind_step, steps_per_level)
        if min(self.first_steps, steps_per_level) < 1 or not 0 <= self.rewind_step < min(
            self.first_steps, steps_per_level
        ):
            raise UsageError(
                f"{self.levels + 1} levels need at least one step each, and rewind_step lies inside the schedule; got "
                f"total_steps={total_steps}, steps_per_level={steps_per_level}, first_steps={self.first_steps}, "
                f"rewind_step={rewind_step}"
            )
        each = steps_per_level - self.rewind_step
        self.starts = (0, *(self.first_steps + i * each for i in range(self.levels)))
        self.total_steps = self.first_steps + self.levels * each
        self.from_zeros = from_zeros
        self._begin_run()

    def _begin_run(self) -> None:
        self._total = 0
        self._remaining: list[int] = []
        self._restart: dict[str, Any] = {}

    # ---- where the run is --------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        """The level that the next optimizer step belongs to; 0 is the one before any pruning."""
        return bisect_right(self.starts, self.step) - 1

    @property
    def schedule_step(self) -> int:
        """Position of the next optimizer step in the level's learning-rate schedule, in [0, schedule_steps]."""
        done = self.step - self.starts[self.level] + (self.rewind_step if self.level else 0)
        return min(done, self.schedule_steps)

    @property
    def schedule_steps(self) -> int:
        """Length of the level's learning-rate schedule: ``first_steps`` at level 0, then ``steps_per_level``."""
        return self.steps_per_level if self.level else self.first_steps

    # ---- what happens --------------------------------------------------------------------------------------------

    @abstractmethod
    def _go_back(self) -> None:
        """Bring back what the next level starts from; all layers are dense now."""

    def _enter(self, step: int) -> None:
        if step == 0:
            self._begin()
        if step > 0 and step in self.starts:
            self._prune(self.starts.index(step))

    def _begin(self) -> None:
        assert self._optimizer is not None
        self._restart = state_by_position(self._optimizer)
        weights = self._attached().weights()
        counted = set(weights) - set(dense_layers(list(weights), self.distribution, self.pattern))
        total = sum(weight.numel() for name, weight in weights.items() if name in counted)
        remaining = total
        if self.from_zeros:
            masks = self._hold_zeros()
            remaining = sum(count for name, count in live_counts(masks).items() if name in counted)
        last = keep_count(total, self.sparsity)
        counts = iterative_counts(remaining, self.fraction, self.levels)[1:]
        self._remaining = [max(count, last) for count in counts[:-1]] + [last] * bool(counts)
        self._total = total

    def _prune(self, level: int) -> None:
        self._announce()
        supports = self._attached()
        count = self._remaining[level - 1]
        target = self.sparsity if level == self.levels else 1.0 - count / self._total
        scores = {name: weight.abs() for name, weight in supports.weights().items()}
        masks = self._choose(scores, target, supports.masks)
        supports.release()
        self._go_back()
        self._hold(masks, "prune", target)

    def _restart_optimizer(self) -> None:
        assert self._optimizer is not None
        restart(self._optimizer, self._restart)

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    def _configuration(self) -> dict[str, Any]:
        return {
            "starts": list(self.starts),
            "steps_per_level": self.steps_per_level,
            "rewind_step": self.rewind_step,
            "fraction": self.fraction,
            "from_zeros": self.from_zeros,
        }

    def _own_state(self) -> SparsifierState:
        tensors, picture = flatten(self._restart, "restart")
        return {
            "tensors": tensors,
            "json": {"restart": picture, "remaining": list(self._remaining), "total": self._total},
        }

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._restart = unflatten(tensors, json["restart"])
        self._remaining, self._total = list(json["remaining"]), int(json["total"])


def level_count(sparsity: float, fraction: float) -> int:
    """Prunings that it takes to leave at most ``1 - sparsity``, each removing ``fraction`` of what remains.

    >>> level_count(0.9, 0.2), level_count(0.488, 0.2), level_count(0.0, 0.2)
    (11, 3, 0)
    """
    if sparsity == 0.0:
        return 0
    return math.ceil(math.log(1.0 - sparsity) / math.log(1.0 - fraction) - ROUNDING_GUARD)


def _share_out(total: int, levels: int, rewind_step: float) -> int:
    """Steps per level so that all levels together take ``total``."""
    if 0 < rewind_step < 1:
        return math.floor(total / (1.0 + levels * (1.0 - rewind_step)) + ROUNDING_GUARD)
    return math.floor((total + levels * rewind_step) / (levels + 1) + ROUNDING_GUARD)


def _steps(value: float, whole: int) -> int:
    """A whole number of steps, or a share in (0, 1) of ``whole`` steps."""
    if isinstance(value, bool) or (not 0 < value < 1 and value != int(value)):
        raise UsageError(f"rewind_step must be a share of a level in (0, 1) or a whole number of steps; got {value!r}")
    return round(value * whole) if 0 < value < 1 else int(value)
