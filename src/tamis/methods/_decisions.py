"""What a method decides: when masks change, what training costs, and what a checkpoint of it must hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from tamis.methods._checkpoint import SparsifierState
from tamis.methods._ledger import ForwardFraction, Stretch, masked_gradients_cost


class Decisions(ABC):
    """The questions that every method answers (abstract); :class:`~tamis.methods.Sparsifier` asks them.

    Attributes:
        method: name in recipes, reports and checkpoints.
        needs_examples: whether the method looks at training data by itself.
        cost_rule: what :meth:`_training_cost` computes, in words.
        dense_gradients: whether all weights are trained while a mask is in force.
    """

    method: ClassVar[str]
    needs_examples: ClassVar[bool] = False
    cost_rule: ClassVar[str] = "3 f(live)"
    dense_gradients: ClassVar[bool] = False

    def _begin_run(self) -> None:  # noqa: B027
        """Set what the method remembers of a run to what it is before the first step (nothing, by default).

        Called when the method is made and at every :meth:`attach`, so that nothing of another model is left.
        """

    def _prepare(self) -> None:  # noqa: B027
        """Set up what the method needs for the layers that :meth:`attach` found (nothing, by default)."""

    @abstractmethod
    def _enter(self, step: int) -> None:
        """Do what is due before optimizer step number ``step``: nothing, or change the masks.

        Call ``_announce`` before anything changes, drawing a random number included: a run that resumes from a
        checkpoint taken inside the announcement comes here again.
        """

    def _on_gradients(self) -> bool:
        """Look at the gradients before those of pruned weights become zero; True skips this optimizer step.

        With a closure this runs behind every call of it, which may be several in one optimizer step.
        Layers that must show the gradients of their pruned weights have to be masked, not packed, during the
        backward pass: call ``LayerSupports.show_gradients`` in :meth:`_enter` of that step.
        """
        return False

    def _before_closure(self) -> None:  # noqa: B027
        """Make the weights those of the forward pass again, before a closure runs inside an optimizer step."""

    def _published_cost(self, live: Mapping[str, int], fraction: ForwardFraction) -> float | None:
        """The published rule for the training cost, where the method has one (:mod:`tamis.sparsity`'s ``*_cost``)."""
        return None

    @abstractmethod
    def _configuration(self) -> dict[str, Any]:
        """The method's own choices as JSON types; resuming with others is refused."""

    def _own_state(self) -> SparsifierState:
        """The method's own tensors and JSON values for a checkpoint."""
        return {"tensors": {}, "json": {}}

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:  # noqa: B027
        """Take back what :meth:`_own_state` returned (nothing, by default)."""

    def _training_cost(self, stretch: Stretch) -> float:
        """Cost of a step of ``stretch`` as a share of a dense step ``3 f_D``; ``cost_rule`` says it in words.

        The rule of methods whose backward pass is as sparse as the forward pass.  Others return another function of
        :mod:`tamis.sparsity`: ``dense_gradient_cost(stretch.forward)``, ``rigl_cost(stretch.forward, interval)`` while
        ``stretch.start`` lies before the last update, ``topkast_cost(stretch.forward, stretch.trained)``.
        """
        return masked_gradients_cost(stretch)

    def _trained_counts(self) -> dict[str, int] | None:
        """Weights by layer whose gradients are computed, where these are not the live ones (Top-KAST's set B)."""
        return None

    def _ends_epoch(self, step: int) -> bool:
        """Whether a stretch of the method's own schedule ends with ``step`` (never, by default)."""
        return False
