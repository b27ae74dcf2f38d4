"""Masks over latent weights: the frame of STE, DPF and SR-STE."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, optim

from tamis.errors import UsageError
from tamis.methods._latent import LatentSparsifier
from tamis.methods._state_hooks import held_mask
from tamis.sparsity import NM, check_combination, check_sparsity, cubic, select_masks


@dataclass(frozen=True)
class MaskTimetable:
    """When masks are chosen anew, and for which sparsity.

    Attributes:
        first: step of the first mask; the model is dense before.
        last: step at which the sparsity reaches ``final``, along the cubic curve of gradual pruning; masks go on
            changing after it.
        every: steps between two masks, counted from ``first``; there is one at ``last`` in any case.
        initial: sparsity of the first mask, unless ``first == last``.
        final: sparsity from ``last`` on.
    """

    first: int
    last: int
    every: int
    initial: float
    final: float

    @classmethod
    def of_shares(
        cls, total_steps: int, start: float, end: float, every: int, initial: float, final: float
    ) -> MaskTimetable:
        """From shares of a run of ``total_steps``; UsageError where they are out of order or range."""
        if not 0 <= start <= end <= 1:
            raise UsageError(f"expected 0 <= start <= end <= 1 as shares of the run; got start={start}, end={end}")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UsageError(f"every must be a whole number of at least 1 step; got {every!r}")
        if check_sparsity(initial, "initial") > final:
            raise UsageError(f"initial={initial} is above the target sparsity {final}")
        return cls(round(start * total_steps), round(end * total_steps), every, float(initial), final)

    def is_due(self, step: int) -> bool:
        """Whether a mask is chosen before optimizer step number ``step``."""
        return step == self.last or (step >= self.first and (step - self.first) % self.every == 0)

    def sparsity_at(self, step: int) -> float:
        """The sparsity of the mask that is in force from ``step`` on, given that one is due or rests there."""
        due = step if self.is_due(step) else step - (step - self.first) % self.every
        if due < self.last < step:
            due = self.last
        return cubic(due, self.first, self.last, self.initial, self.final)


class StraightThrough(LatentSparsifier):
    """Computes with the largest latent weights, and gives the gradient of the masked weights to all (abstract).

    Args:
        sparsity: fraction of zeros at the end, in [0, 1).
        total_steps: optimizer steps of the whole run.
        start, end, every, initial: see :class:`MaskTimetable` and its ``of_shares``.
        **options: see :class:`LatentSparsifier`.

    Raises:
        UsageError: the choices do not fit each other; the optimizer is LBFGS (at :meth:`attach`).
    """

    def __init__(
        self, sparsity: float, total_steps: int, *, start: float, end: float, every: int, initial: float, **options: Any
    ) -> None:
        super().__init__(sparsity, total_steps, rests=every > 1, **options)
        self.timetable = MaskTimetable.of_shares(self.total_steps, start, end, every, initial, self.sparsity)
        if self.timetable.first < self.timetable.last:
            if isinstance(self.pattern, NM):
                raise UsageError(
                    f"{self.pattern.n}:{self.pattern.m} has one sparsity, so it cannot grow from start={start} to "
                    f"end={end}; give both the same value"
                )
            check_combination(self.timetable.initial, self.distribution, self.pattern)

    def _prepare(self) -> None:
        # Its curvature comes from differences of gradients; those of a mask that moves made it diverge to NaN.
        if isinstance(self._optimizer, optim.LBFGS):
            raise UsageError(
                "a straight-through gradient is not the gradient of any function, which LBFGS needs; use another "
                "optimizer, such as SGD or Adam"
            )

    def effective(self, name: str, latent: Tensor) -> Tensor:
        """``latent`` where the mask of the layer is True, else 0."""
        return self._attached().masked(name, latent)

    def _mask(self, name: str) -> Tensor | None:
        return held_mask(self._attached().layers[name])

    def _follow(self, step: int) -> None:
        if not self.timetable.is_due(step):
            return
        supports = self._attached()
        record = step == self.timetable.last or self._is_recorded(step)
        if record:
            self._announce()
        scores = {name: latent.abs() for name, latent in self._latents.take(supports.layers).items()}
        if record:
            masks = self._choose(scores, self._target(), {})
        else:
            masks = select_masks(scores, self._target(), self.distribution, self.pattern)
        self._put_in_force(masks, record=record)

    def _target(self) -> float:
        return self.timetable.sparsity_at(self.step)

    def _configuration(self) -> dict[str, Any]:
        return {"timetable": asdict(self.timetable), "record_every": self.record_every, "total_steps": self.total_steps}
