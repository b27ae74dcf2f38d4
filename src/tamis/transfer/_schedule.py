"""Learning rates of transfer runs over the epochs; constant inside an epoch."""

from __future__ import annotations

import math
from typing import Literal

from tamis.errors import UsageError

Shape = Literal["thirds", "paper", "cosine", "constant"]


def rate_of_epoch(shape: Shape, base: float, epoch: int, epochs: int) -> float:
    """The learning rate of the 0-based ``epoch`` of ``epochs``.

    ``thirds``: lr, lr / 10 and lr / 100 for a third of the epochs each (50, 50, 50 of 150).  ``paper``: what the
    scheduler of the transfer study's code did: each drop comes one epoch late (51, 50, 49 of 150; measured).
    ``cosine``: lr (1 + cos(pi e / E)) / 2.  ``constant``: lr.

    >>> [rate_of_epoch("paper", 1.0, e, 150) for e in (50, 51, 100, 101)]
    [1.0, 0.1, 0.1, 0.01]

    Raises:
        UsageError: the epoch does not belong to the run.
    """
    if not 0 <= epoch < epochs:
        raise UsageError(f"epoch {epoch} of {epochs}: expected 0 <= epoch < epochs")
    if shape == "constant":
        return base
    if shape == "cosine":
        return base * (1 + math.cos(math.pi * epoch / epochs)) / 2
    drops = max(0, epoch - 1 if shape == "paper" else epoch) * 3 // epochs
    return float(base / 10**drops)
