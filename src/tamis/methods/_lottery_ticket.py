"""Iterative magnitude pruning with rewinding: lottery tickets, and tickets from pretrained weights.

Frankle and Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks" (ICLR 2019); rewinding to
a later step from Frankle, Dziugaite, Roy, Carbin, "Linear Mode Connectivity and the Lottery Ticket Hypothesis" (ICML
2020); tickets from pretrained weights as in Chen et al., "The Lottery Tickets Hypothesis for Supervised and
Self-supervised Pre-training in Computer Vision Models" (CVPR 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn, optim

from tamis.errors import UsageError
from tamis.methods._adoption import plain_module
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._levels import Levels
from tamis.methods._snapshot import Snapshot
from tamis.methods._sparsifier import Sparsifier
from tamis.nn import prunable_modules
from tamis.sparsity import Distribution, Global

_PUBLISHED = Global(floor=0.0)


class Rewinding(Levels):
    """Levels that begin again from the weights of step ``rewind_step`` of level 0 (abstract).

    At a rewind all parameters and all buffers, the statistics of batch norm too, get the values that they had then;
    pruned weights become zero; and the optimizer's state of all parameters becomes what it was at :meth:`attach`, which
    is none for a new optimizer.
    """

    def _begin_run(self) -> None:
        super()._begin_run()
        self._snapshot: Snapshot | None = None

    def _enter(self, step: int) -> None:
        super()._enter(step)
        if step == self.rewind_step:
            assert self._model is not None
            taken = Snapshot.take(step, self._model)
            taken.model.update({name: buffer.clone() for name, buffer in _unsaved_buffers(self._model).items()})
            self._snapshot = taken

    @torch.no_grad()
    def _go_back(self) -> None:
        assert self._model is not None
        assert self._snapshot is not None
        unsaved = _unsaved_buffers(self._model)
        self._model.load_state_dict({k: v for k, v in self._snapshot.model.items() if k not in unsaved})
        for name, buffer in unsaved.items():
            buffer.copy_(self._snapshot.model[name])
        self._restart_optimizer()
        if self.step >= self.starts[-1]:
            self._snapshot = None  # the last level has begun

    def _own_state(self) -> SparsifierState:
        state = super()._own_state()
        if self._snapshot is not None:
            tensors, state["json"]["snapshot"] = self._snapshot.to_state("rewind")
            state["tensors"] |= tensors
        return state

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        super()._load_own_state(tensors, json)
        self._snapshot = Snapshot.from_state(tensors, json["snapshot"]) if "snapshot" in json else None


class LotteryTicket(Rewinding):
    """Iterative magnitude pruning (IMP) with rewinding; ``rewind_step=0`` goes back to the initialisation (ICLR 2019).

    Arguments and errors are those of :class:`~tamis.methods._levels.Levels`: ``sparsity``, ``total_steps`` or
    ``steps_per_level``, ``first_steps``, ``rewind_step``, ``fraction``, ``from_zeros``, and the options of
    :class:`Sparsifier`.
    """

    method = "lotteryticket"


class LTHT(Rewinding):
    """Lottery tickets for transfer: from pretrained weights, back to them at every level; the ticket is fine-tuned.

    Governs the convolutions except the first; linear layers stay dense.  Which layers those are follows from the model
    at :meth:`attach`.  The published runs take SGD with learning rate 1e-4, momentum 0.9 and weight decay 1e-4, ten
    epochs per level, batches of 256 and 19 levels.

    Args:
        sparsity: fraction of zeros of the governed layers after the last level; 19 levels of 0.2 leave 0.0144.
        total_steps: optimizer steps of all levels together.
        steps_per_level: instead of ``total_steps``, the optimizer steps of one level.
        fraction: share of the remaining weights that a level removes, in (0, 1).
        distribution: as published, one ranking without a floor.
        **options: see :class:`Sparsifier`, without ``include`` and ``exclude``.

    Raises:
        UsageError: the choices do not fit each other, or (at :meth:`attach`) the model has less than two convolutions.
    """

    method = "ltht"

    def __init__(
        self,
        sparsity: float = 1.0 - 0.8**19,
        total_steps: int | None = None,
        *,
        steps_per_level: int | None = None,
        fraction: float = 0.2,
        distribution: Distribution = _PUBLISHED,
        **options: Any,
    ) -> None:
        if options.keys() & {"include", "exclude"}:
            raise UsageError("LTHT chooses its layers itself; for other layers use LotteryTicket(include=..., ...)")
        options["distribution"] = distribution
        super().__init__(sparsity, total_steps, steps_per_level=steps_per_level, fraction=fraction, **options)

    def attach(self, model: nn.Module, optimizer: optim.Optimizer) -> Sparsifier:
        """Choose the convolutions but the first, then :meth:`Sparsifier.attach`.

        Raises:
            UsageError: the model has fewer than two convolutions, or what :meth:`Sparsifier.attach` refuses.
        """
        layers = prunable_modules(plain_module(model))
        convolutions = [name for name, layer in layers.items() if not isinstance(layer, nn.Linear)]
        if len(convolutions) < 2:
            raise UsageError(
                f"LTHT prunes all convolutions but the first; {type(model).__name__} has {len(convolutions)}. "
                "Use LotteryTicket, which prunes linear layers too"
            )
        self.include = convolutions[1:]
        return super().attach(model, optimizer)


def _unsaved_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Buffers that the state_dict leaves out, by name."""
    saved = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers() if name not in saved}
