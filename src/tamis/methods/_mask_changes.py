"""How masks change: chosen by score, checked for collapse, put in force, written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor, nn, optim

from tamis.errors import UsageError
from tamis.methods._collapse import check_collapse
from tamis.methods._decisions import Decisions
from tamis.methods._due_change import DueChange
from tamis.methods._history import History
from tamis.methods._optimizer_state import clear_moments, reset_regrown_state
from tamis.methods._records import MaskRecorder
from tamis.methods._step_times import StepTimes
from tamis.methods._supports import LayerSupports
from tamis.sparsity import (
    Distribution,
    Pattern,
    check_combination,
    dense_layers,
    masks_from_zeros,
    nested_scores,
    select_masks,
    sparsity_of,
)


class MaskChanges(Decisions):
    """The masks in force and the record of their changes (abstract): what a method calls when it has decided.

    Arguments and attributes are those of :class:`~tamis.methods.Sparsifier`.
    """

    def __init__(
        self, sparsity: float, distribution: Distribution, pattern: Pattern, on_collapse: Literal["error", "warn"]
    ) -> None:
        self.sparsity = check_combination(sparsity, distribution, pattern)
        self.distribution = distribution
        self.pattern = pattern
        if on_collapse not in ("error", "warn"):
            raise UsageError(f"on_collapse must be 'error' or 'warn'; got {on_collapse!r}")
        self.on_collapse = on_collapse
        self._model: nn.Module | None = None
        self._optimizer: optim.Optimizer | None = None
        self._supports: LayerSupports | None = None
        self._callbacks: list[Callable[[Any], Any]] = []
        self._due = DueChange(self._enter_step)
        self._clear_records()

    def _clear_records(self) -> None:
        self.step = 0
        self._recorder = MaskRecorder()
        self._history = History()
        self._times = StepTimes()

    def _attached(self) -> LayerSupports:
        if self._supports is None:
            raise UsageError(f"this {type(self).__name__} is not attached; call attach(model, optimizer) first")
        return self._supports

    @property
    def phase(self) -> Literal["dense", "sparse"]:
        """``"sparse"`` while masks are in force, else ``"dense"``."""
        return "sparse" if self._supports is not None and self._supports.held else "dense"

    @property
    def masks(self) -> dict[str, Tensor]:
        """Bool mask by layer name in registration order; empty in a dense phase and when not attached."""
        return {} if self._supports is None else self._supports.masks

    @property
    def events(self) -> list[dict[str, Any]]:
        """The mask changes so far, JSON types only."""
        return self._recorder.events

    def _enter_step(self) -> None:
        """Let the method do what is due before the next step; until that is done, a checkpoint says so."""
        self._due.begins()
        self._enter(self.step)
        self._due.done()

    # ---- for methods -------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        if self.step > 0:
            self._close_interval()
            with self._times.paused():
                for callback in self._callbacks:
                    callback(self)

    def _choose(self, scores: Mapping[str, Tensor], sparsity: float, within: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks for ``scores`` inside the masks ``within`` (empty: no constraint), checked for collapse."""
        masks = select_masks(
            nested_scores(scores, within) if within else scores, sparsity, self.distribution, self.pattern
        )
        if within:  # a layer with fewer live weights than it was granted must not revive dead ones
            masks = {name: mask & within[name] for name, mask in masks.items()}
        check_collapse(masks, max(sparsity, sparsity_of(masks)), self.step, self.on_collapse)
        return masks

    def _hold(
        self, masks: Mapping[str, Tensor], event: str, target: float, gradients: Mapping[str, Tensor] | None = None
    ) -> None:
        """Put masks in force and record the event (``"compress"`` or ``"prune"``); ``gradients`` as in ``hold``."""
        supports = self._attached()
        supports.hold(masks, gradients=gradients)
        assert self._model is not None
        dense = dense_layers(list(masks), self.distribution, self.pattern)
        self._recorder.record(event, self.step, target, masks, self._model, supports, dense)

    def _hold_zeros(self) -> dict[str, Tensor]:
        """Put the zeros that the model has into force; returns the masks."""
        masks = masks_from_zeros(self._attached().weights())
        check_collapse(masks, sparsity_of(masks), self.step, self.on_collapse)
        self._hold(masks, "prune", 0.0)
        return masks

    def _reset_state(self, regrown: Mapping[str, Tensor]) -> None:
        """Reset the optimizer state of regrown weights (bool masks by layer); the layers must be dense."""
        assert self._optimizer is not None
        for name, layer in self._attached().layers.items():
            if name in regrown and bool(regrown[name].any()):
                reset_regrown_state(self._optimizer, layer.weight, regrown[name])

    def _clear_moments(self) -> None:
        assert self._optimizer is not None
        clear_moments(self._optimizer)

    def _close_interval(self) -> None:
        self._history.close(self.step, self._attached(), self._trained_counts())
        self._times.close(self.phase)
