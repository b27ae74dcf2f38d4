"""AC/DC: alternating compressed/decompressed training.

Peste, Iofinova, Vladu, Alistarh, "AC/DC: Alternating Compressed/DeCompressed Training of Deep Neural Networks"
(NeurIPS 2021).  The paper proves convergence of a variant (stochastic iterative hard thresholding under a concentrated
Polyak-Lojasiewicz condition); nothing is claimed here about momentum, normalisation or these schedules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._pair import DensePair, plain_copy
from tamis.methods._pruned_values import PrunedValues
from tamis.methods._returning import Ramp, ReturnAsSaved, ReturnAsZero, ReturnAtRandom, Returning
from tamis.methods._snapshot import Snapshot
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import (
    Global,
    Phase,
    check_combination,
    compress_at,
    decompress_at,
    default_phases,
    preset,
    scale_phases,
)

_ZERO, _PUBLISHED = ReturnAsZero(), Global(floor=0.0)


class ACDC(Sparsifier):
    """Alternate dense phases with phases at the target sparsity; the last is sparse.

    Entering a sparse phase, the largest weights by magnitude live, the others become zero, and the optimizer's state is
    left untouched.  Entering a dense phase, pruned weights come back as trainable zeros and the first moments of *all*
    parameters are cleared, before the first optimizer step of the phase.  Learning rate, weight decay and batch norm
    statistics run on as if nothing had happened.

    Args:
        sparsity: fraction of zeros in the sparse phases, in [0, 1).
        total_steps: optimizer steps of the whole run; may be omitted with ``steps_per_epoch`` and a preset.
        schedule: the name of a published preset (:data:`tamis.sparsity.PRESETS`), or phases without gaps from 0 in any
            unit (:func:`tamis.sparsity.acdc_phases`); both are scaled to ``total_steps`` by rounding boundaries, never
            lengths.  None takes 10 % dense, pairs of 5 % sparse and 5 % dense, 10 % dense, 15 % sparse.
        steps_per_epoch: with it, the history that the FLOPs ledger is built on is cut at every epoch.
        reset_momentum: clear the first moments at the entry of dense phases (for the Adam family second moments and
            step counter too).  False keeps all state, stale momentum of pruned weights included, so layers run masked.
        ramp: grow the sparsity inside sparse phases instead of jumping to it.
        returning: how pruned weights come back.
        **options: see :class:`Sparsifier`; with the name of a preset the distribution is ``Global(floor=0)``, as in the
            published global runs, unless given; the variant without first convolution and classifier is
            ``exclude=("conv1", "fc")``.

    Raises:
        UsageError: the choices do not fit each other; the message says what to change.
    """

    method = "acdc"

    def __init__(
        self,
        sparsity: float,
        total_steps: int | None = None,
        *,
        schedule: str | Sequence[Phase] | None = None,
        steps_per_epoch: int | None = None,
        reset_momentum: bool = True,
        ramp: Ramp | None = None,
        returning: Returning = _ZERO,
        **options: Any,
    ) -> None:
        if isinstance(schedule, str):  # as published, one ranking without a floor
            options = {"distribution": _PUBLISHED, **options}
        super().__init__(sparsity, **options)
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise UsageError(f"steps_per_epoch must be at least 1; got {steps_per_epoch}")
        if not reset_momentum:
            if self.packed is True:
                raise UsageError(
                    "packed=True keeps no momentum of pruned weights, but reset_momentum=False needs it: "
                    "use packed='auto' (then masked) or reset_momentum=True"
                )
            self.packed = False
        if getattr(self.reparameterise, "zeros_are_stuck", False) and isinstance(returning, ReturnAsZero):
            raise UsageError(
                f"weights that return as zeros get no gradient under {self.reparameterise!r} and would stay there: use "
                "returning=ReturnAsSaved() or returning=ReturnAtRandom()"
            )
        self.phases = _in_steps(schedule, total_steps, steps_per_epoch)
        self.total_steps = self.phases[-1].end
        self.steps_per_epoch = steps_per_epoch
        self.reset_momentum = reset_momentum
        self.ramp = ramp
        self.returning = returning
        self._decompressions = frozenset(decompress_at(self.phases))
        self._targets = self._plan()
        self._last_compression = max(compress_at(self.phases), default=-1)
        self._begin_run()

    def _begin_run(self) -> None:
        self.snapshots: dict[str, Snapshot] = {}
        self._pruned = PrunedValues()
        self._generator = torch.Generator()
        self._generator.manual_seed(self.returning.seed if isinstance(self.returning, ReturnAtRandom) else 0)

    def _plan(self) -> dict[int, float]:
        ends = {phase.start: phase.end for phase in self.phases}
        targets: dict[int, float] = {}
        for start in compress_at(self.phases):
            plain = {start: self.sparsity}
            targets |= plain if self.ramp is None else self.ramp.sparsities(start, ends[start], self.sparsity)
        for target in set(targets.values()):
            check_combination(target, self.distribution, self.pattern)
        return targets

    def _enter(self, step: int) -> None:
        if step in self._decompressions:
            self._decompress()
        if step in self._targets:
            self._compress(self._targets[step])

    def _ends_epoch(self, step: int) -> bool:
        return self.steps_per_epoch is not None and step % self.steps_per_epoch == 0

    def _compress(self, target: float) -> None:
        self._announce()
        supports = self._attached()
        if not supports.held and (self.step == self._last_compression or self._has_been_sparse()):
            self.snapshots["last_dense"] = self._snapshot(with_optimizer=True)
        present, weights = supports.masks, supports.weights()
        masks = self._choose({name: weight.abs() for name, weight in weights.items()}, target, present)
        if isinstance(self.returning, ReturnAsSaved):
            self._pruned.remember(self._pruned.fill(weights, present), masks)
        self._hold(masks, "compress", target)

    @torch.no_grad()
    def _decompress(self) -> None:
        self._announce()
        supports = self._attached()
        masks = supports.masks
        supports.release()
        if isinstance(self.returning, ReturnAsSaved):
            for name, full in self._pruned.fill(supports.weights(), masks).items():
                supports.layers[name].weight.copy_(full)
        elif isinstance(self.returning, ReturnAtRandom):
            for name, weight in supports.weights().items():
                noise = torch.empty(weight.shape).normal_(0.0, self.returning.std, generator=self._generator)
                weight.copy_(torch.where(masks[name], weight, noise.to(weight)))
        if self.reset_momentum:
            self._reset_state({name: ~mask for name, mask in masks.items()})
            self._clear_moments()
        self._recorder.record_release(self.step, supports)

    def _has_been_sparse(self) -> bool:
        return any(event["event"] == "compress" for event in self.events)

    # ---- the pair ------------------------------------------------------------------------------------------------

    def observe(self, score: float) -> None:
        """Report how good the present weights are (higher is better); the best of each kind are kept.

        Use a score of validation data.  Dense weights count after the first sparse phase, so that no warm-up
        checkpoint wins; sparse ones at the full target.  The end of a dense phase can be observed in a
        :meth:`before_change` callback only, because the step that ends it also begins the next phase.

        Args:
            score: accuracy or another number to be maximised.

        Raises:
            UsageError: the score is NaN, or the method is not attached.
        """
        if math.isnan(score):
            raise UsageError("a score must be a number; got NaN")
        dense = not self._attached().held
        at_target = bool(self.events) and self.events[-1].get("target") == self.sparsity
        if not (self._has_been_sparse() if dense else at_target):
            return
        name = "best_dense" if dense else "best_sparse"
        best = self.snapshots.get(name)
        if best is None or best.score is None or score > best.score:
            self.snapshots[name] = replace(self._snapshot(with_optimizer=dense), score=float(score))

    def _snapshot(self, *, with_optimizer: bool) -> Snapshot:
        assert self._model is not None
        return Snapshot.take(self.step, self._model, self._optimizer if with_optimizer else None)

    def pair(self) -> DensePair:
        """The dense model at the end of the last dense phase, and the present sparse model, as independent copies.

        Raises:
            UsageError: no dense phase has ended yet, or the model is in a dense phase now.
        """
        snapshot = self._kept("last_dense", "a dense phase must have ended in a sparse one")
        if self._supports is not None and not self._supports.held:
            raise UsageError(f"step {self.step} is in a dense phase; ask for the pair in the last sparse phase")
        if self.events and self.events[-1].get("target") != self.sparsity:
            raise UsageError(f"step {self.step} is inside a ramp; ask for the pair when its target is reached")
        assert self._model is not None
        return DensePair(plain_copy(self._model, snapshot.model), plain_copy(self._model))

    def best_pair(self) -> DensePair:
        """The dense and the sparse model with the best scores given to :meth:`observe`, as independent copies.

        Raises:
            UsageError: one of them was never observed.
        """
        assert self._model is not None
        kept = [
            self._kept(name, "call observe(score) in both kinds of phases") for name in ("best_dense", "best_sparse")
        ]
        return DensePair(*(plain_copy(self._model, snapshot.model) for snapshot in kept))

    def dense_twin_state(self) -> Snapshot:
        """Where the fine-tuned dense twin resumes: the best observed dense weights, else the last dense phase's end.

        The published twin continues from there without pruning, with its optimizer state and the run's learning rates,
        up to the run's last epoch::

            twin = sparsifier.dense_twin_state()
            first_step = twin.restore(model, optimizer)     # a fresh model and optimizer

        Raises:
            UsageError: no dense phase has ended yet.
        """
        name = "best_dense" if "best_dense" in self.snapshots else "last_dense"
        return self._kept(name, "a dense phase must have ended in a sparse one").clone()

    def _kept(self, name: str, advice: str) -> Snapshot:
        if name not in self.snapshots:
            raise UsageError(f"there is no {name.replace('_', ' ')} model after {self.step} steps: {advice} first")
        return self.snapshots[name]

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    def _configuration(self) -> dict[str, Any]:
        return {
            "phases": [[phase.kind, phase.start, phase.end] for phase in self.phases],
            "reset_momentum": self.reset_momentum,
            "ramp": repr(self.ramp),
            "returning": repr(self.returning),
        }

    def _own_state(self) -> SparsifierState:
        tensors, snapshots = self._pruned.tensors(), {}
        tensors["generator"] = self._generator.get_state().clone()
        for name, snapshot in self.snapshots.items():
            kept, snapshots[name] = snapshot.to_state(name)
            tensors |= kept
        return {"tensors": tensors, "json": {"snapshots": snapshots}}

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._pruned.load(tensors)
        self._generator.set_state(tensors["generator"].clone())
        self.snapshots = {name: Snapshot.from_state(tensors, kept) for name, kept in json["snapshots"].items()}


def _in_steps(
    schedule: str | Sequence[Phase] | None, total_steps: int | None, steps_per_epoch: int | None
) -> tuple[Phase, ...]:
    if total_steps is None:
        if not isinstance(schedule, str) or steps_per_epoch is None:
            raise UsageError("give total_steps, or the name of a preset together with steps_per_epoch")
        total_steps = preset(schedule).total * steps_per_epoch
    if isinstance(total_steps, bool) or not isinstance(total_steps, int) or total_steps < 1:
        raise UsageError(f"total_steps must be a whole number of at least 1; got {total_steps!r}")
    if schedule is None:
        return default_phases(total_steps)
    phases = preset(schedule).phases() if isinstance(schedule, str) else tuple(schedule)
    return scale_phases(phases, total_steps)
