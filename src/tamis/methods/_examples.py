"""Data that a method looks at outside the training loop: gradients at initialisation, Fisher matrices, calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tamis.errors import UsageError


@dataclass(frozen=True)
class Examples:
    """A repeatable stream of training batches and the loss to be differentiated on them.

    Attributes:
        batches: called anew at each use, returns an iterable of ``(inputs, targets)``; the same order at every call
            makes a resumed run equal the uninterrupted one.  Use training data, never test data.
        loss: ``loss(model(inputs), targets)`` is a scalar, the mean over the batch; cross-entropy by default.
    """

    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy

    def take(self, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the stream until ``samples`` samples were seen, the last one cut; ends earlier with the stream.

        Raises:
            UsageError: the stream is empty, or a batch is no pair of tensors of one length.
        """
        seen = 0
        for batch in self.batches():
            if seen == samples:
                break
            inputs, targets = _checked(batch)
            count = min(len(inputs), samples - seen)
            yield inputs[:count], targets[:count]
            seen += count
        if seen == 0:
            raise UsageError("the examples are empty: batches() must return an iterable of (inputs, targets)")


def _checked(batch: object) -> tuple[Tensor, Tensor]:
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        inputs, targets = batch
        if isinstance(inputs, torch.Tensor) and isinstance(targets, torch.Tensor) and len(inputs) == len(targets):
            return inputs, targets
    raise UsageError(
        "each batch of the examples must be a pair of tensors (inputs, targets) of one length; "
        f"got {type(batch).__name__}"
    )
