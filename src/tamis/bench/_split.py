"""How much of a step is spent inside the layers that are pruned, and how much in everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from torch import nn


def milliseconds_in_layers(
    model: nn.Module, names: Collection[str], forward: Callable[[], Any], backward: Callable[[], Any]
) -> tuple[float, float]:
    """CPU milliseconds that the named modules take in one forward and in one backward; the hooks are removed again.

    Hooks before and after each module read the clock.  They disturb what they measure a little, so the times of whole
    steps are taken in other runs.
    """
    spent, started = {"forward": 0.0, "backward": 0.0}, dict.fromkeys(names, 0.0)

    def start(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            started[name] = time.process_time()

        return hook

    def stop(name: str, direction: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            spent[direction] += time.process_time() - started[name]

        return hook

    handles = []
    for name in names:
        module = model.get_submodule(name)
        handles += [
            module.register_forward_pre_hook(start(name)),
            module.register_forward_hook(stop(name, "forward")),
            module.register_full_backward_pre_hook(start(name)),
            module.register_full_backward_hook(stop(name, "backward")),
        ]
    try:
        forward()
        backward()
    finally:
        for handle in handles:
            handle.remove()
    return 1e3 * spent["forward"], 1e3 * spent["backward"]
