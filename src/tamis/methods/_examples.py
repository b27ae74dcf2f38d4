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

    def take(self, samples: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of ``samples`` samples, beginning after the ``skip`` that earlier estimates have seen.

        The stream is read as a ring: where it ends it goes on at its beginning.  No sample comes twice, so a stream
        shorter than ``samples`` gives each of its samples once.  The last batch is cut.

        Args:
            samples: how many are wanted.
            skip: samples of the ring to pass over, 0 or more; also more than the stream holds.

        Raises:
            UsageError: the stream is empty, or a batch is no pair of tensors of one length.
        """
        given = 0
        for inputs, targets in self._from(skip, skip + samples):
            given += len(inputs)
            yield inputs, targets
        if given == samples or (skip == 0 and given > 0):
            return
        start = skip % self._length()
        if start != skip:  # the stream ended before the first wanted sample
            yield from self.take(samples, start)
        else:
            yield from self._from(0, min(start, samples - given))

    def _from(self, begin: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples ``begin`` to ``end`` of one pass over the stream, fewer where it ends earlier."""
        seen = 0
        for batch in self.batches():
            if seen >= end:
                break
            inputs, targets = _checked(batch)
            low, high = max(begin - seen, 0), min(len(inputs), end - seen)
            if low < high:
                yield inputs[low:high], targets[low:high]
            seen += len(inputs)

    def _length(self) -> int:
        length = sum(len(_checked(batch)[0]) for batch in self.batches())
        if length == 0:
            raise UsageError("the examples are empty: batches() must return an iterable of (inputs, targets)")
        return length


def _checked(batch: object) -> tuple[Tensor, Tensor]:
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        inputs, targets = batch
        if isinstance(inputs, torch.Tensor) and isinstance(targets, torch.Tensor) and len(inputs) == len(targets):
            return inputs, targets
    raise UsageError(
        "each batch of the examples must be a pair of tensors (inputs, targets) of one length; "
        f"got {type(batch).__name__}"
    )
