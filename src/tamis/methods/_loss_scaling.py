"""Gradients of a scaled loss, where the optimizer undoes the scaling inside its step.

``torch.amp.GradScaler`` divides the gradients by the scale before ``optimizer.step``, which it leaves out where one is
not finite.  For a fused optimizer it does neither: it calls ``step`` always, with the scale in
``optimizer.grad_scale`` and, in ``optimizer.found_inf``, whether the step is to be nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import optim

from tamis.errors import UsageError


def check_scaler(optimizer: optim.Optimizer, kwargs: dict[str, Any]) -> None:
    """Refuse a step that gets the scaler itself, and unscales and skips where nobody else sees it.

    Raises:
        UsageError: ``kwargs`` of the step hold ``grad_scaler``.
    """
    if kwargs.get("grad_scaler") is not None:
        raise UsageError(
            f"{type(optimizer).__name__} unscales gradients inside its step by the argument grad_scaler, so their true "
            "values are unknown before it; use an optimizer without it, such as those of torch.optim, fused or not"
        )


def is_void(optimizer: optim.Optimizer) -> bool:
    """Whether the step under way changes nothing, because a gradient is not finite."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


@torch.no_grad()
def unscale_gradients(optimizer: optim.Optimizer) -> None:
    """Divide the gradients by the scale that the optimizer would divide them by, and tell it that this is done."""
    scale = getattr(optimizer, "grad_scale", None)
    if scale is None:
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.div_(torch.as_tensor(scale, device=parameter.grad.device))
    optimizer.grad_scale = None  # type: ignore[attr-defined]
