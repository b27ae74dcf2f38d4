"""Data-parallel training of a model whose layers change their shape: DDP that follows packing and unpacking."""

# No postponed annotations here: DistributedDataParallel compares those of its communication hook with the classes.
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from tamis.errors import UsageError


class Replicas(nn.Module):
    """A model with one copy per process, to be used in place of ``DistributedDataParallel``.

    ``DistributedDataParallel`` sets its gradient buckets up once, for the shapes that parameters have then, so layers
    cannot be packed under it.  This wrapper holds one and builds it anew before the forward pass that follows a change
    of the masks: gradients of a packed layer, ``(nnz,)``, are then all that is reduced for it.  A mask change is rare,
    and building takes milliseconds.

    Give the wrapper to :meth:`tamis.methods.Sparsifier.attach` too, so that it may pack::

        model = tamis.nn.Replicas(network)
        sparsifier = tamis.ACDC(0.9, steps).attach(model, optimizer)

    ``module`` is the network; save its ``state_dict``, not that of the wrapper.

    Args:
        module: the network, on the CPU or on the device of this process.
        process_group: the processes that train together; None takes all.
        **options: further arguments of ``DistributedDataParallel``.

    Attributes:
        reduced_bytes: bytes of gradients that this process has given to all-reduce so far.
        rebuilds: how often the buckets were set up, the beginning included.

    Raises:
        UsageError: no process group is initialised.
    """

    def __init__(self, module: nn.Module, process_group: dist.ProcessGroup | None = None, **options: Any) -> None:
        super().__init__()
        if not (dist.is_available() and dist.is_initialized()):
            raise UsageError(
                "Replicas needs a process group: start with torchrun, call torch.distributed.init_process_group first"
            )
        self.module = module
        self.reduced_bytes = 0
        self.rebuilds = 0
        self._group = process_group
        self._options = options
        self._nodes: list[Any] = []
        # in a list, because a module that is an attribute would be registered and saved as well
        self._wrapped: list[DistributedDataParallel] = []

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """The output of ``module``; the backward pass leaves the mean gradients of all processes."""
        return self._current()(*inputs, **keywords)

    def no_sync(self) -> AbstractContextManager[None]:
        """Accumulate gradients of this process alone, as in ``DistributedDataParallel.no_sync``."""
        return self._current().no_sync() if torch.is_grad_enabled() else nullcontext()

    def close(self) -> None:
        """Let go of the process group before it is destroyed; a later forward pass would set everything up anew."""
        self._let_go()
        self._nodes = []

    def _current(self) -> DistributedDataParallel:
        # Packing and unpacking give a parameter a new node in the graph: the one that collects its gradient, and that
        # DistributedDataParallel watches.  Shapes alone do not tell, because masks may change with equal counts.
        trained = (parameter for parameter in self.module.parameters() if parameter.requires_grad)
        nodes = [get_gradient_edge(parameter).node for parameter in trained]
        if len(nodes) != len(self._nodes) or any(a is not b for a, b in zip(nodes, self._nodes, strict=True)):
            first = not self._wrapped
            self._let_go()
            # weights are equal on all processes but at the beginning, so they are not sent again
            wrapped = DistributedDataParallel(self.module, process_group=self._group, init_sync=first, **self._options)
            wrapped.register_comm_hook(None, self._reduce)
            self._wrapped, self._nodes = [wrapped], nodes
            self.rebuilds += 1
        return self._wrapped[0]

    def _let_go(self) -> None:
        for wrapped in self._wrapped:
            # its hooks sit on the parameters until the reducer is gone; the logger holds another reference to it
            del wrapped.reducer, wrapped.logger
        self._wrapped = []

    def _reduce(self, _: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        self.reduced_bytes += bucket.buffer().nbytes
        return allreduce_hook(self._group, bucket)  # type: ignore[arg-type]  # None means all processes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_wrapped": [], "_nodes": []}
