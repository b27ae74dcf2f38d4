"""Pruning at initialisation: scores from a copy of the model, masks before the first step.

What :class:`~tamis.methods.SNIP`, :class:`~tamis.methods.GraSP` and :class:`~tamis.methods.SynFlow` share.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.methods._examples import Examples
from tamis.methods._pair import plain_copy
from tamis.methods._random_states import unchanged_random_states
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import Distribution, Global, masks_from_zeros

PUBLISHED = Global(floor=0.0)


class AtInit(Sparsifier):
    """Prune once, in :meth:`attach`, by scores that look at more than magnitudes (abstract).

    Scores are computed on a deep copy of the model.  Weights, gradients, ``requires_grad``, buffers, training mode and
    the random states of torch, numpy and Python are afterwards what they were.  In a distributed job all ranks must
    be given the same examples, so that they arrive at the same masks.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        distribution: as published, one ranking over all layers without a floor.
        from_zeros: prune inside the support that the model has at :meth:`attach`, so that its zeros stay.
        **options: see :class:`Sparsifier`.
    """

    def __init__(
        self,
        sparsity: float,
        *,
        distribution: Distribution = PUBLISHED,
        from_zeros: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, distribution=distribution, **options)
        self.from_zeros = from_zeros

    def _enter(self, step: int) -> None:
        if step != 0:
            return
        supports = self._attached()
        assert self._model is not None
        within = masks_from_zeros(supports.weights()) if self.from_zeros else {}
        with unchanged_random_states():
            twin = plain_copy(self._model)
            layers = {name: twin.get_submodule(name) for name in supports.layers}
            for parameter in twin.parameters():
                parameter.requires_grad_(False)
                parameter.grad = None
            masks = self._masks(twin, layers, within)
        self._hold(masks, "prune", self.sparsity)

    @abstractmethod
    def _masks(
        self, twin: nn.Module, layers: Mapping[str, nn.Module], within: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Masks by layer, inside ``within`` where it is not empty, checked for collapse.

        Args:
            twin: a copy of the model to do anything with; no parameter requires gradients.
            layers: its governed layers by name.
            within: bool masks by layer, or empty.
        """

    def _configuration(self) -> dict[str, Any]:
        return {"from_zeros": self.from_zeros}


def given_examples(examples: Examples | None, twin: nn.Module) -> Examples:
    """The examples, their tensors on the device of the model."""
    assert examples is not None
    device = next(twin.parameters()).device

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in examples.take(2**62):
            yield inputs.to(device), targets.to(device)

    return Examples(batches, examples.loss)


def differentiable(layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The weights of ``layers``, which from now on require gradients."""
    weights: dict[str, Tensor] = {}
    for name, layer in layers.items():
        weight = layer.weight
        assert isinstance(weight, Tensor)
        weights[name] = weight.requires_grad_()
    return weights


def check_scores(scores: Mapping[str, Tensor], method: str) -> None:
    """UsageError if no score differs from zero: the loss does not depend on any governed weight."""
    if not any(bool(score.any()) for score in scores.values()):
        raise UsageError(
            f"all scores of {method} are zero, so there is nothing to rank: the gradients vanish. Check the loss and "
            "the examples, and that the model is initialised"
        )
