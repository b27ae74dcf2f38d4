"""SNIP: single-shot pruning by connection sensitivity.

Lee, Ajanthan, Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity" (ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.methods._at_init import AtInit, check_scores, differentiable, given_examples
from tamis.sparsity import snip_score


class SNIP(AtInit):
    """Keep the weights with the largest ``|g * w|`` on one batch of training data.

    The gradient is that of the mean loss in training mode (batch norm by the statistics of the batch).  Where the
    stream's batches are smaller than ``samples``, gradients of several are averaged.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        samples: examples to look at; 128 as published.
        **options: ``examples`` (required), ``distribution`` (global as published), ``from_zeros``, and the options of
            :class:`Sparsifier`.

    Raises:
        UsageError: ``samples`` is below 1, or (at :meth:`attach`) there are no examples.
    """

    method = "snip"
    needs_examples: ClassVar[bool] = True

    def __init__(self, sparsity: float, *, samples: int = 128, **options: Any) -> None:
        super().__init__(sparsity, **options)
        if samples < 1:
            raise UsageError(f"samples must be at least 1; got {samples}")
        self.samples = samples

    def _masks(
        self, twin: nn.Module, layers: Mapping[str, nn.Module], within: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        twin.train()
        weights = differentiable(layers)
        examples = given_examples(self.examples, twin)
        sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for inputs, targets in examples.take(self.samples):
            loss = examples.loss(twin(inputs), targets)
            found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for total, gradient in zip(sums.values(), found, strict=True):
                if gradient is not None:
                    total += gradient * len(inputs)
        scores = {name: snip_score(weights[name], sums[name]) for name in weights}
        check_scores(scores, "SNIP")
        return self._choose(scores, self.sparsity, within)

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "samples": self.samples}
