"""Batch norm with residual and activation as one operation, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tamis.errors import UsageError
from tamis.kernels import _native, reference
from tamis.kernels._format import NCHW, empty_in_format, format_of, in_format

ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}
# Rows of csrc/norm.h's NormStats.
_MEAN, _VARIANCE, _ROWS = 5, 6, 7


def norm_act(
    y: Tensor,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    residual: Tensor | None = None,
    activation: str = "none",
) -> Tensor:
    """``activation(batch_norm(y) + residual)``; the batch norm is that of :func:`torch.nn.functional.batch_norm`.

    Args:
        y: ``(N, C, H, W)``; float32 on the CPU runs natively, other dtypes and devices through plain torch.
        weight: ``(C,)`` or None for 1.
        bias: ``(C,)`` or None for 0.
        running_mean: ``(C,)``; used when not ``training``, else updated in place; None leaves it out.
        running_var: as ``running_mean``; receives the unbiased variance.
        training: take mean and variance from ``y``.
        momentum: weight of the new value in the running ones.
        eps: added to the variance.
        residual: added before the activation; of the shape of ``y``.
        activation: ``"none"``, ``"relu"`` or ``"relu6"``.

    Returns:
        ``(N, C, H, W)`` in the memory format of ``y``.

    Raises:
        UsageError: shapes do not fit, the activation is unknown, or running values are needed and missing.
        ValueError: ``training`` with a single value per channel, as in torch.
    """
    _check(y, (weight, bias, running_mean, running_var), residual, activation)
    if not training and (running_mean is None or running_var is None):
        raise UsageError("norm_act: without running_mean and running_var only training=True is possible")
    if training and y.numel() == y.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {y.size()}")
    tensors = (weight, bias, running_mean, running_var, residual)
    if not _serves(y, tensors):
        return reference.norm_act(
            y, weight, bias, running_mean, running_var, training, momentum, eps, residual, activation
        )
    mean, variance = (None, None) if training else (running_mean, running_var)
    weight, bias, mean, variance = (None if t is None else t.contiguous() for t in (weight, bias, mean, variance))
    z, stats = _NormAct.apply(y, residual, weight, bias, mean, variance, eps, ACTIVATIONS[activation])
    if training:
        for running, row in ((running_mean, _MEAN), (running_var, _VARIANCE)):
            if running is not None:
                running.lerp_(stats[row], momentum)
    return z


class _NormAct(torch.autograd.Function):
    """Keeps its input, the result only where a residual hides the activation's mask, and 7 numbers a channel."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None,
                mean: Tensor | None, variance: Tensor | None, eps: float,
                activation: int) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.format = format_of(y)
        if ctx.format is None:
            ctx.format, y = NCHW, y.contiguous()
        if residual is not None:
            residual = in_format(residual, ctx.format)
        z, stats = torch.ops.tamis.norm_act(y, residual, weight, bias, mean, variance, eps, activation)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(y, z if residual is not None and activation else None, stats)
        ctx.activation, ctx.batch_statistics = activation, mean is None
        ctx.mark_non_differentiable(stats)
        return z, stats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        y, z, stats = ctx.saved_tensors
        needs_y, needs_residual, needs_weight, needs_bias = ctx.needs_input_grad[:4]
        own = in_format(grad, ctx.format)
        grad_y, grad_residual, constants = torch.ops.tamis.norm_act_grad(
            own, y, z, stats, ctx.activation, ctx.batch_statistics, needs_y, z is not None
        )
        return (
            grad_y if needs_y else None,
            (grad_residual if ctx.activation else grad) if needs_residual else None,
            constants[0] if needs_weight else None,
            constants[1] if needs_bias else None,
            None,
            None,
            None,
            None,
        )


def _serves(y: Tensor, others: tuple[Tensor | None, ...]) -> bool:
    return (
        _native.why_not is None
        and y.numel() > 0
        and all(t is None or (t.dtype == torch.float32 and t.device.type == "cpu") for t in (y, *others))
    )


def _check(y: Tensor, vectors: tuple[Tensor | None, ...], residual: Tensor | None, activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise UsageError(f"norm_act: activation {activation!r} is unknown; expected one of {', '.join(ACTIVATIONS)}")
    if y.dim() != 4:
        raise UsageError(f"norm_act: expected (N, C, H, W), got shape {tuple(y.shape)}")
    for name, t in zip(("weight", "bias", "running_mean", "running_var"), vectors, strict=True):
        if t is not None and tuple(t.shape) != (y.shape[1],):
            raise UsageError(f"norm_act: expected {name} of shape ({y.shape[1]},), got {tuple(t.shape)}")
    if residual is not None and residual.shape != y.shape:
        raise UsageError(f"norm_act: the residual has shape {tuple(residual.shape)}, y has {tuple(y.shape)}")


if _native.why_not is None:

    @torch.library.register_fake("tamis::norm_act")
    def _(y, residual, weight, bias, mean, variance, eps, activation):
        return _like(y), y.new_empty((_ROWS, y.shape[1]))

    @torch.library.register_fake("tamis::norm_act_grad")
    def _(grad, y, z, stats, activation, batch_statistics, wants_y, wants_residual):
        nothing = y.new_empty((0,))
        return (
            _like(y) if wants_y else nothing,
            _like(y) if wants_residual else nothing.clone(),
            y.new_empty((2, y.shape[1])),
        )


def _like(y: Tensor) -> Tensor:
    known = format_of(y)
    return empty_in_format(y, tuple(y.shape), NCHW if known is None else known)  # type: ignore[arg-type]
