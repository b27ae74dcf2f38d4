"""Tracing the forward of one module by itself, without changing anything."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from torch import fx, nn

from tamis.nn._fuse_reads import Reads, structure
from tamis.nn._fuse_restore import Before
from tamis.nn._fuse_tracer import Tracer, autocast_is_enabled, graph_of

# fx exchanges methods of nn.Module while it traces, for all threads.
ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class Traced:
    """What a forward does, for arguments without defaults that are tensors, and all others left at their defaults.

    Attributes:
        graph: with one placeholder for each such argument.
        opened: names of the ``nn.Sequential`` whose children are called directly.
        reads: what else it depends on.
    """

    graph: fx.Graph
    opened: tuple[str, ...]
    reads: Reads


def trace(module: nn.Module) -> Traced | None:
    """The graph of the module's forward; None where the graph would not say all that the forward does.

    It must be the same in training and evaluation, and running it must have changed nothing.  The module, the random
    generators and the containers that were read are afterwards as they were.
    """
    if autocast_is_enabled():
        return None
    with ONE_AT_A_TIME:
        return _trace(module)


def _trace(module: nn.Module) -> Traced | None:
    reads, before, codes, tracers = Reads(children=structure(module)), Before(module), [], []
    try:
        reads.function(type(module).forward)  # type: ignore[arg-type]  # anything else raises, which is caught
        for training in (True, False):
            module.__dict__["training"] = training
            tracers.append(Tracer(reads))
            codes.append(graph_of(module, tracers[-1]).python_code("self").src)
        module.__dict__["training"] = before.tables[0][1]["training"]
        same = codes[0] == codes[1] and reads.hold(module) and not any(tracer.refused for tracer in tracers)
    except Exception:  # whatever a foreign forward raises when it meets a proxy: it is left as it is
        same = False
    finally:
        changed = before.restore(reads.contents)
    return Traced(tracers[0].graph, tuple(tracers[0].opened), reads) if same and not changed else None
