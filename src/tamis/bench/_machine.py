"""What the numbers were measured on, and how fast dense arithmetic can be there."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import torch

from tamis.bench.peers import PEERS
from tamis.kernels import choices
from tamis.train import describe_environment


def describe_machine(peers: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, instruction set, threads, versions and load; ``busy`` when the load leaves too few processors free.

    ``peers`` holds, for each of these peers that is a package of its own, its version or why it is missing;
    ``choice`` is the mode of the dense/sparse chooser.
    """
    found = describe_environment()
    load = found["load_average"]
    found["busy"] = bool(load) and load[0] > (os.cpu_count() or 1) - found["threads"] + 0.5
    found["choice"] = choices.mode
    found["peers"] = {name: PEERS[name].version or PEERS[name].missing for name in peers if PEERS[name].packages}
    return found


def reference_gflops(size: int = 768, repeats: int = 5) -> float:
    """Best speed of torch's dense float32 matrix product here, in 1e9 flop per CPU second: a practical peak."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.process_time()
        a @ b
        best = min(best, max(time.process_time() - start, 1e-9))
    return 2 * size**3 / best / 1e9
