"""A sparse model that asks its dense twin where it is unsure, and keeps count of what that costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tamis.audit._gates import unsure_classes, unsure_labels
from tamis.errors import UsageError


@dataclass(frozen=True)
class CascadeCost:
    """What a :class:`Cascade` has done since it was made or reset.

    Attributes:
        samples: inputs seen.
        samples_asked: inputs that the dense model ran on.
        answers: predictions given: one for each input and attribute, or one for each input with classes.
        answers_asked: predictions taken from the dense model.
        sparse_s: seconds by the clock in the sparse model.
        dense_s: seconds by the clock in the dense model.
    """

    samples: int = 0
    samples_asked: int = 0
    answers: int = 0
    answers_asked: int = 0
    sparse_s: float = 0.0
    dense_s: float = 0.0

    @property
    def share_of_samples(self) -> float:
        """Share of the inputs that the dense model ran on; NaN before the first."""
        return self.samples_asked / self.samples if self.samples else float("nan")

    @property
    def share_of_answers(self) -> float:
        """Share of the predictions that the dense model gave; NaN before the first."""
        return self.answers_asked / self.answers if self.answers else float("nan")

    def __str__(self) -> str:
        return (
            f"dense model asked for {self.samples_asked} of {self.samples} samples ({self.share_of_samples:.1%}), "
            f"{self.answers_asked} of {self.answers} answers ({self.share_of_answers:.1%}); "
            f"{self.sparse_s:.3f} s sparse, {self.dense_s:.3f} s dense"
        )


class Cascade(nn.Module):
    """Runs ``sparse`` on every input and ``dense`` only on those where the sparse model is unsure.

    For attributes (multi-label, or binary with one logit) a prediction is unsure where ``|p - 0.5| < half_width``; the
    dense model runs on the inputs with at least one such prediction, in one smaller batch, and replaces only these.
    For classes use :meth:`for_classes`.

    At ``half_width`` 0 the answers are those of the sparse model bit for bit, and the dense model never runs; above 0.5
    (above 1 for a margin) they are those of the dense model, which runs on the whole batch.  In between, a dense model
    may round otherwise on a part of a batch than on the whole.

    For inference only: the module is in eval mode from the start, refuses ``train()``, and records no gradients.

    Args:
        dense: maps inputs ``(N, ...)`` to logits ``(N, K)``.
        sparse: the same K; pruned, packed, quantised, whatever is cheaper.
        half_width: from 0, never asks, to above 0.5, always asks.

    Raises:
        UsageError: ``half_width`` is negative.
    """

    def __init__(self, dense: nn.Module, sparse: nn.Module, half_width: float = 0.2) -> None:
        super().__init__()
        self.dense, self.sparse = dense, sparse
        self._gate: Callable[[Tensor, float], Tensor] = unsure_labels
        self.half_width = half_width
        self.reset_cost()
        self.eval()

    @classmethod
    def for_classes(cls, dense: nn.Module, sparse: nn.Module, margin: float = 0.2) -> Cascade:
        """The same for classes: the dense model answers where the two best probabilities are close.

        Close means less than ``margin`` apart; the whole row of logits is the dense model's then.  ``margin`` goes from
        0, never asks, to above 1, always asks.
        """
        made = cls(dense, sparse, margin)
        made._gate = unsure_classes
        return made

    @property
    def half_width(self) -> float:
        """Below which distance from the border a prediction counts as unsure; may be set between calls."""
        return self._half_width

    @half_width.setter
    def half_width(self, value: float) -> None:
        if not value >= 0:
            raise UsageError(f"half_width={value}; expected a number of at least 0")
        self._half_width = float(value)

    @property
    def cost(self) -> CascadeCost:
        """What it has cost since the start or :meth:`reset_cost`."""
        return self._cost

    def reset_cost(self) -> None:
        """Count from zero again."""
        self._cost = CascadeCost()

    def train(self, mode: bool = True) -> Cascade:
        """Refuses training mode: the two models are trained apart.

        Raises:
            UsageError: ``mode`` is True.
        """
        if mode:
            raise UsageError("a Cascade is for inference; train its dense and its sparse model by themselves")
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """``(N, ...)`` -> logits ``(N, K)``, in the dtype of the sparse model.

        Raises ``UsageError`` if a submodule is in training mode or the two models answer different shapes.
        """
        training = next((name for name, module in self.named_modules() if module.training), None)
        if training is not None:
            raise UsageError(f"{training} is in training mode, so answers would depend on the batch; call eval() on it")
        started = time.perf_counter()
        logits: Tensor = self.sparse(inputs)
        sparse_s = time.perf_counter() - started
        if logits.dim() != 2 or len(logits) != len(inputs):
            raise UsageError(f"the sparse model answers {tuple(logits.shape)}; expected ({len(inputs)}, K) logits")
        unsure = self._gate(logits, self._half_width)
        rows = unsure.any(1)
        asked, dense_s = int(rows.sum()), 0.0
        if asked:
            started = time.perf_counter()
            second = self.dense(inputs if asked == len(inputs) else inputs[rows])
            dense_s = time.perf_counter() - started
            if second.shape != (asked, logits.shape[1]):
                raise UsageError(
                    f"the dense model answers {tuple(second.shape)}, the sparse one {tuple(logits.shape)}; expected "
                    "the same attributes or classes"
                )
            logits = logits.clone()
            logits[rows] = torch.where(unsure[rows], second.to(logits.dtype), logits[rows])
        self._count(unsure, asked, sparse_s, dense_s)
        return logits

    def _count(self, unsure: Tensor, asked: int, sparse_s: float, dense_s: float) -> None:
        before = self._cost
        self._cost = CascadeCost(
            before.samples + len(unsure),
            before.samples_asked + asked,
            before.answers + unsure.numel(),
            before.answers_asked + int(unsure.sum()),
            before.sparse_s + sparse_s,
            before.dense_s + dense_s,
        )

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        return f"half_width={self._half_width:g}"
