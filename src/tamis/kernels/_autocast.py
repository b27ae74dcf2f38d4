"""Packed layers keep float32 under autocast: bfloat16 kernels have not been shown to pay."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Backward = TypeVar("Backward", bound=Callable[..., Any])


def under_autocast(x: Tensor) -> bool:
    """Whether operations on the device of ``x``, a tensor of any shape ``(...)``, are under ``torch.autocast`` now."""
    if x.is_cpu:
        return torch.is_autocast_enabled("cpu")
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def as_float32(x: Tensor, values: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The operands in float32; themselves where they have that type."""
    return x.float(), values.float(), None if bias is None else bias.float()


def outside_autocast(backward: Backward) -> Backward:
    """A backward pass that computes, and times, in float32 where ``backward()`` is called under ``torch.autocast``."""

    @wraps(backward)
    def in_float32(ctx: Any, grad: Tensor) -> Any:
        if not under_autocast(grad):
            return backward(ctx, grad)
        with torch.autocast(grad.device.type, enabled=False):
            return backward(ctx, grad)

    return cast(Backward, in_float32)
