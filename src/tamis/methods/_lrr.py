"""Iterative magnitude pruning with learning-rate rewinding.

Renda, Frankle, Carbin, "Comparing Rewinding and Fine-tuning in Neural Network Pruning" (ICLR 2020).
"""

from __future__ import annotations

from typing import Any

from tamis.methods._levels import Levels


class LRR(Levels):
    """Iterative magnitude pruning that keeps the trained weights and restarts the learning-rate schedule.

    Args:
        sparsity: fraction of zeros after the last level, in [0, 1).
        total_steps: optimizer steps of all levels together; or give ``steps_per_level``.
        reset_optimizer: give all parameters the optimizer state that they had at :meth:`attach` (none, for a new
            optimizer), as a new run of training does; False keeps the state of live weights.
        **options: ``steps_per_level``, ``first_steps``, ``rewind_step`` (0 repeats the whole schedule), ``fraction``
            and ``from_zeros`` of :class:`~tamis.methods._levels.Levels`, and the options of :class:`Sparsifier`.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "lrr"

    def __init__(
        self, sparsity: float, total_steps: int | None = None, *, reset_optimizer: bool = True, **options: Any
    ) -> None:
        super().__init__(sparsity, total_steps, **options)
        self.reset_optimizer = reset_optimizer

    def _go_back(self) -> None:
        if self.reset_optimizer:
            self._restart_optimizer()

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "reset_optimizer": self.reset_optimizer}
