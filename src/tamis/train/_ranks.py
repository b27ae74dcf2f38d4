"""Training with several processes: who this process is, its share of a batch, and sums over all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tamis.errors import TamisError

# How long a process waits for the others before it gives up; evaluating or pruning takes all of them equally long.
PATIENCE = timedelta(minutes=10)


class RankError(TamisError, RuntimeError):
    """Another process of the job is gone, or has another state than this one."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train one model together.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and progress; one does."""
        return self.rank == 0

    def share(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, float]:
        """This process's part of a batch of B samples, and the weight of its mean loss.

        The parts are consecutive and differ by one sample at most.  The mean over all processes of weight times loss is
        the mean loss of the batch, and so are the gradients.  A batch of fewer than two samples for each process is not
        split: every process takes all of it, because batch norm needs more than one.

        Args:
            images: (B, ...).
            labels: (B,).

        Returns:
            Images and labels of this process, and the weight.
        """
        count = len(labels)
        if count < 2 * self.world:
            return images, labels, 1.0
        low, high = count * self.rank // self.world, count * (self.rank + 1) // self.world
        return images[low:high], labels[low:high], (high - low) * self.world / count

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum of each value over all processes, in float64.

        Raises:
            RankError: another process is gone.
        """
        if self.world == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(summed)
        return summed.tolist()

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.world > 1:
            dist.barrier()

    @torch.no_grad()
    def copy_buffers(self, model: nn.Module) -> None:
        """Give every process the buffers of process 0: each has running statistics of its own part of the batches."""
        if self.world > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def check_equal(self, digest: str, what: str) -> None:
        """Compare a hexadecimal digest with those of the other processes.

        Raises:
            RankError: they differ.
        """
        if self.world == 1:
            return
        digests = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(digests, torch.tensor([int(digest[:15], 16)]))
        others = [rank for rank, other in enumerate(digests) if not torch.equal(other, digests[0])]
        if others:
            raise RankError(
                f"{what} of process {others[0]} differ from those of process 0; do all processes have the same data, "
                "the same versions and the same kind of processor?"
            )


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the job that ``torchrun`` started, with the gloo backend; without it, this process is alone.

    A process group that exists already is used and left as it is.

    Raises:
        RankError: within the context another process went away.
    """
    started = not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if started:
        dist.init_process_group("gloo", timeout=PATIENCE)
    ranks = Ranks(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Ranks()
    try:
        yield ranks
    except RuntimeError as error:
        if ranks.world > 1 and _lost(error):
            reason = str(error).strip().splitlines()[0]
            raise RankError(f"process {ranks.rank} lost another one of {ranks.world} ({reason})") from error
        raise
    finally:
        if started:
            dist.destroy_process_group()


def _lost(error: RuntimeError) -> bool:
    kinds: tuple[Any, ...] = (dist.DistError,)
    return isinstance(error, kinds) or "gloo" in str(error)
