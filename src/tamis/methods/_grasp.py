"""GraSP: pruning that preserves the flow of gradients.

Wang, Zhang, Grosse, "Picking Winning Tickets Before Training by Preserving Gradient Flow" (ICLR 2020), and its
official code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.methods._at_init import AtInit, check_scores, differentiable, given_examples
from tamis.methods._examples import Examples
from tamis.sparsity import grasp_score

MANY_CLASSES = 100
PATIENCE = 100  # a class a hundred times rarer than the others comes short, so that an endless stream ends


class GraSP(AtInit):
    """Remove the weights whose score ``-w * (H g)`` is largest.

    ``g`` is the gradient of the mean loss for logits divided by ``temperature``, ``H`` its Hessian, both over the
    governed weights and in training mode.  ``H g`` comes from a second backward pass through the gradient; batches have
    the size of the stream's, so that memory does not grow with the number of samples.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        samples_per_class: examples of each class; None takes 25, or 10 from a hundred classes on, as published.  The
            width of the logits is the number of classes.  A stream that ends early, or that has not given them after a
            hundred times as many samples, gives what it has.
        temperature: what logits are divided by, positive; 200 as published.
        reinitialise: score with linear layers drawn anew by Xavier's rule, as the official code does; the model itself
            keeps its weights.
        **options: ``examples`` (required; targets are class numbers), ``distribution`` (global as published),
            ``from_zeros``, and the options of :class:`Sparsifier`.

    Raises:
        UsageError: an option is out of range, or (at :meth:`attach`) the examples are missing or have no classes.
    """

    method = "grasp"
    needs_examples: ClassVar[bool] = True

    def __init__(
        self,
        sparsity: float,
        *,
        samples_per_class: int | None = None,
        temperature: float = 200.0,
        reinitialise: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **options)
        if (samples_per_class is not None and samples_per_class < 1) or not temperature > 0:
            raise UsageError(
                f"expected samples_per_class >= 1 and temperature > 0; got {samples_per_class} and {temperature}"
            )
        self.samples_per_class = samples_per_class
        self.temperature = temperature
        self.reinitialise = reinitialise

    def _masks(
        self, twin: nn.Module, layers: Mapping[str, nn.Module], within: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        examples = given_examples(self.examples, twin)
        batches = list(self._batches(twin.eval(), examples))
        twin.train()
        if self.reinitialise:
            for layer in layers.values():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_normal_(layer.weight)
        samples = sum(len(inputs) for inputs, _ in batches)
        weights = differentiable(layers)
        gradient = [torch.zeros_like(weight) for weight in weights.values()]
        for inputs, targets in batches:
            share = len(inputs) / samples
            parts = self._gradient(twin, weights, examples, inputs, targets, twice=False)
            for total, part in zip(gradient, parts, strict=True):
                total += part * share
        product = [torch.zeros_like(weight) for weight in weights.values()]
        for inputs, targets in batches:
            again = self._gradient(twin, weights, examples, inputs, targets, twice=True)
            dot = torch.stack([(g * part).sum() for g, part in zip(gradient, again, strict=True)]).sum()
            parts = torch.autograd.grad(
                dot * (len(inputs) / samples), list(weights.values()), allow_unused=True, materialize_grads=True
            )
            for total, part in zip(product, parts, strict=True):
                total += part
        scores = {name: grasp_score(w, hg) for (name, w), hg in zip(weights.items(), product, strict=True)}
        check_scores(scores, "GraSP")
        return self._choose(scores, self.sparsity, within)

    def _gradient(
        self,
        twin: nn.Module,
        weights: Mapping[str, Tensor],
        examples: Examples,
        inputs: Tensor,
        targets: Tensor,
        *,
        twice: bool,
    ) -> tuple[Tensor, ...]:
        """Gradients of the mean loss of one batch; ``twice``: they can be differentiated again."""
        loss = examples.loss(twin(inputs) / self.temperature, targets)
        return torch.autograd.grad(
            loss, list(weights.values()), create_graph=twice, allow_unused=True, materialize_grads=True
        )

    @torch.no_grad()
    def _batches(self, twin: nn.Module, examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
        """The wanted number of samples of each class, in the order of the stream and in batches of its size."""
        size, seen, wanted, chosen, labels = 0, 0, 0, [], []
        missing: dict[int, int] = {}
        for inputs, targets in examples.batches():
            if size == 0:
                classes = _class_count(twin(inputs), targets)
                wanted = self.samples_per_class or (10 if classes >= MANY_CLASSES else 25)
                size, missing = len(inputs), dict.fromkeys(range(classes), wanted)
            for i, label in enumerate(targets.tolist()):
                if missing.get(label, 0) > 0:
                    missing[label] -= 1
                    chosen.append(inputs[i])
                    labels.append(targets[i])
            seen += len(inputs)
            if not any(missing.values()) or seen > PATIENCE * wanted * len(missing):
                break
        return zip(torch.stack(chosen).split(size), torch.stack(labels).split(size), strict=True)

    def _configuration(self) -> dict[str, Any]:
        return {
            **super()._configuration(),
            "samples_per_class": self.samples_per_class,
            "temperature": self.temperature,
            "reinitialise": self.reinitialise,
        }


def _class_count(logits: Tensor, targets: Tensor) -> int:
    if targets.dim() != 1 or targets.is_floating_point() or logits.dim() != 2 or int(targets.max()) >= logits.shape[1]:
        raise UsageError(
            "GraSP takes samples of each class: expected logits (N, classes) and class numbers (N,) as targets; got "
            f"logits of shape {tuple(logits.shape)} and {targets.dtype} targets of shape {tuple(targets.shape)}"
        )
    return logits.shape[1]
