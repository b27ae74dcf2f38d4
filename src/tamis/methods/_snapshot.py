"""A training state kept in memory: the dense half of the pair, and where its twin resumes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn, optim

from tamis.methods._tree import flatten, unflatten


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Weights and optimizer state after ``step`` optimizer steps.

    Attributes:
        step: optimizer steps done.
        model: dense ``state_dict`` of the model, cloned; extra state of its modules may be of any type.
        optimizer: ``state_dict`` of the optimizer, cloned, or None where only the weights matter.
        score: what the caller reported for it (higher is better), or None.
    """

    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any] | None = None
    score: float | None = None

    @classmethod
    def take(
        cls, step: int, model: nn.Module, optimizer: optim.Optimizer | None = None, score: float | None = None
    ) -> Snapshot:
        """Copy the present state of an attached model, and of its optimizer if given."""
        weights = _copied(model.state_dict())
        state = None if optimizer is None else copy.deepcopy(optimizer.state_dict())
        return cls(step, weights, state, score)

    def clone(self) -> Snapshot:
        """An independent copy, safe to load and to train on."""
        return Snapshot(self.step, _copied(self.model), copy.deepcopy(self.optimizer), self.score)

    def restore(self, model: nn.Module, optimizer: optim.Optimizer | None = None) -> int:
        """Load the weights, and the optimizer's state if both have one; returns ``step``.

        Raises:
            RuntimeError, ValueError: torch's own, if model or optimizer do not fit.
        """
        fresh = self.clone()
        model.load_state_dict(fresh.model)
        if optimizer is not None and fresh.optimizer is not None:
            optimizer.load_state_dict(fresh.optimizer)
        return self.step

    def to_state(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors under ``snapshot/name/...`` and the JSON picture of the rest."""
        tensors, picture = flatten({"model": self.model, "optimizer": self.optimizer}, f"snapshot/{name}")
        return tensors, {"step": self.step, "score": self.score, "content": picture}

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> Snapshot:
        """Rebuild what :meth:`to_state` returned; FileError if tensors are missing."""
        content = unflatten(tensors, json["content"])
        return cls(int(json["step"]), content["model"], content["optimizer"], json["score"])


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.detach().clone() if isinstance(v, Tensor) else copy.deepcopy(v) for k, v in state.items()}
