"""A module and the random generators as they were before its forward was traced."""

from __future__ import annotations

import collections
import random
from typing import Any

import numpy as np
import torch
from torch import nn


class Before:
    """Remembers a module, what is inside it, and the state of torch, numpy and Python, by identity.

    Args:
        module: with all modules below it; parameters and buffers are looked at, not copied.
    """

    def __init__(self, module: nn.Module) -> None:
        self.tables = [
            (table, dict(table))
            for each in module.modules()
            for table in (each.__dict__, *(v for k, v in each.__dict__.items() if k[0] == "_" and isinstance(v, dict)))
        ]
        tensors = [*module.parameters(), *module.buffers()]
        self.versions = [(tensor, tensor._version) for tensor in tensors if not tensor.is_inference()]
        self.generators = _generators()
        self.settings = _settings()

    def restore(self, contents: list[tuple[Any, Any]]) -> bool:
        """Put everything back; whether anything had been changed.

        Args:
            contents: containers and copies of them, which are put back too.
        """
        # Backwards: what was met twice gets the content that it had at first.
        changed = [_put_back(container, copy) for container, copy in reversed([*self.tables, *contents])]
        changed += [tensor._version != version for tensor, version in self.versions]
        if not _equal(self.generators, _generators()):
            changed.append(True)
            torch.set_rng_state(self.generators[0])
            random.setstate(self.generators[1])
            np.random.set_state(self.generators[2])  # noqa: NPY002 - the user's code may draw from it
        if self.settings != _settings():
            changed.append(True)
            torch.set_grad_enabled(self.settings[0])
            torch.set_default_dtype(self.settings[1])
        return any(changed)


def _put_back(container: Any, copy: Any) -> bool:
    if len(container) == len(copy) and all(a is b for a, b in zip(_flat(container), _flat(copy), strict=True)):
        return False
    if isinstance(container, list):
        container[:] = copy
        return True
    container.clear()
    if isinstance(container, collections.deque):
        container.extend(copy)
    else:
        container.update(copy)
    return True


def _flat(container: Any) -> list[Any]:
    return [*container, *container.values()] if isinstance(container, dict) else list(container)


def _generators() -> tuple[Any, ...]:
    return torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002 - see restore


def _equal(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    arrays = np.array_equal(a[2][1], b[2][1]) and a[2][2:] == b[2][2:]
    return torch.equal(a[0], b[0]) and a[1] == b[1] and bool(arrays)


def _settings() -> tuple[Any, ...]:
    return torch.is_grad_enabled(), torch.get_default_dtype()
