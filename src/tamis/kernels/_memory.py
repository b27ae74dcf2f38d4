"""The memory that native results are taken from and given back to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tamis.kernels._extension import why_not


@dataclass(frozen=True)
class MemoryState:
    """Bytes of the pool of native results: ``in_use`` by living tensors, ``kept`` for the next ones."""

    in_use: int
    kept: int


def memory_state() -> MemoryState:
    """What the pool of large native results holds now; zeros without native kernels.

    The pool holds at most what was in use at once, and 16 MiB.
    """
    if why_not is not None:
        return MemoryState(0, 0)
    in_use, kept = torch.ops.tamis.pool_state()
    return MemoryState(in_use, kept)


def release_memory() -> None:
    """Give all unused memory of the pool back to the system; the next large results take fresh pages."""
    if why_not is None:
        torch.ops.tamis.pool_release()
