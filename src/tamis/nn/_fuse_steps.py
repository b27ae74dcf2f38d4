"""What a fused forward calls: one step for batch norm, addition and activation, and one for max pooling.

Each takes the model's own modules and asks at every call whether they are still what was fused; where they are not (a
hook, another class), the modules are called one after the other as before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.kernels import NCHW, format_of, in_format, max_pool2d, norm_act, preferred_format, under_autocast
from tamis.nn._fold import can_fold, can_fold_dense, folded_conv, folded_dense_conv, forget_fold_in_training

# An activation is a module of one of these classes or the name itself.
ACTIVATION_MODULES: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "relu6": F.relu6}


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody listens to the calls of ``module``."""
    state = module.__dict__
    hooks = state["_forward_hooks"] or state["_forward_pre_hooks"]
    return bool(hooks or state["_backward_hooks"] or state["_backward_pre_hooks"]) or "forward" in state


def conv_norm_step(conv: Any, bn: Any, x: Tensor, residual: Any = None, activation: Any = None) -> Tensor:
    """``activation(bn(conv(x)) + residual)``: in inference one operation where the layer is packed, else two.

    Args:
        conv: the model's convolution.
        bn: the model's ``nn.BatchNorm2d``.
        x: the input of ``conv``.
        residual: as in :func:`norm_step`, and so ``activation``.
    """
    name = ACTIVATION_MODULES.get(type(activation)) if isinstance(activation, nn.Module) else activation
    known = type(bn) is nn.BatchNorm2d and (activation is None or name == "relu")
    known = known and (residual is None or isinstance(residual, Tensor))
    if known and can_fold(conv, bn, x):
        listened_to = has_hooks(conv) or has_hooks(bn) or (isinstance(activation, nn.Module) and has_hooks(activation))
        if not listened_to:
            return folded_conv(conv, bn, x, residual, name == "relu")
    forget_fold_in_training(bn)
    return norm_step(bn, conv(x), residual, activation)


def stem_step(conv: Any, bn: Any, activation: Any, pool: Any, x: Tensor) -> Tensor:
    """``pool(activation(bn(conv(x))))``; a dense convolution of few channels has channels innermost up to the pool.

    torch's convolution is faster in that format, turning included, and so is the pool; what the pool leaves is a
    quarter of its input and cheaper to turn.

    Args:
        conv: the model's convolution.
        bn: the model's ``nn.BatchNorm2d``.
        activation: as in :func:`norm_step`.
        pool: the model's ``nn.MaxPool2d``.
        x: ``(N, C, H, W)``.
    """
    steps = [m for m in (conv, bn, activation, pool) if isinstance(m, nn.Module)]
    plain = type(conv) is nn.Conv2d and type(bn) is nn.BatchNorm2d and not any(has_hooks(m) for m in steps)
    if not plain or not _is_picture(x):
        return pool_step(pool, conv_norm_step(conv, bn, x, None, activation))
    innermost = x.contiguous(memory_format=torch.channels_last)
    largest = type(pool) is nn.MaxPool2d and (activation in (None, "relu") or type(activation) is nn.ReLU)
    if largest and can_fold_dense(conv, bn):
        # A ReLU may as well follow a max pool, and no other one, which leaves a quarter.
        z = pool_step(pool, folded_dense_conv(conv, bn, innermost))
        z = z if activation is None else z.relu_()
    else:
        forget_fold_in_training(bn)
        z = pool_step(pool, _norm(bn, conv(innermost), None, activation))
    wanted = preferred_format(z)
    return in_format(z, NCHW if wanted is None else wanted)


def _is_picture(x: Tensor) -> bool:
    """Whether ``x`` is a contiguous float32 batch of pictures of two to four channels, outside autocast."""
    usable = x.dim() == 4 and 1 < x.shape[1] <= 4 and x.dtype == torch.float32 and x.device.type == "cpu"
    return usable and x.is_contiguous() and not under_autocast(x)


def norm_step(bn: Any, y: Tensor, residual: Any = None, activation: Any = None) -> Tensor:
    """``activation(bn(y) + residual)`` in one operation, in the format that the next layer prefers.

    Args:
        bn: the model's ``nn.BatchNorm2d``.
        y: ``(N, C, H, W)``, the result of a convolution.
        residual: what is added, or None.
        activation: a module of ``ACTIVATION_MODULES``, ``"relu"``, ``"relu6"`` or None.
    """
    z = _norm(bn, y, residual, activation)
    wanted = preferred_format(z) if z.dim() == 4 else None
    return z if wanted is None or wanted == format_of(z) else in_format(z, wanted)


def _norm(bn: Any, y: Tensor, residual: Any, activation: Any) -> Tensor:
    name = activation
    usable = type(bn) is nn.BatchNorm2d and not has_hooks(bn)
    if isinstance(activation, nn.Module):
        name = ACTIVATION_MODULES.get(type(activation))
        usable = usable and name is not None and not has_hooks(activation)
    if residual is not None:
        usable = usable and isinstance(residual, Tensor) and residual.shape == y.shape
    if not usable or y.dim() != 4 or under_autocast(y):
        return _one_after_the_other(bn, y, residual, activation)
    batch, running_mean, running_var, momentum = _statistics(bn)
    return norm_act(
        y,
        weight=bn.weight,
        bias=bn.bias,
        running_mean=running_mean,
        running_var=running_var,
        training=batch,
        momentum=momentum,
        eps=bn.eps,
        residual=residual,
        activation=name or "none",
    )


def pool_step(pool: Any, x: Tensor) -> Tensor:
    """``pool(x)`` for an ``nn.MaxPool2d``."""
    if type(pool) is not nn.MaxPool2d or pool.return_indices or has_hooks(pool):
        return pool(x)
    return max_pool2d(x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)


def _statistics(bn: Any) -> tuple[bool, Tensor | None, Tensor | None, float]:
    """Whether the batch's statistics are used, the running ones, and the new values' weight; torch's rules."""
    momentum = 0.0 if bn.momentum is None else bn.momentum
    if bn.training and bn.track_running_stats and bn.num_batches_tracked is not None:
        bn.num_batches_tracked.add_(1)
        if bn.momentum is None:
            momentum = 1.0 / float(bn.num_batches_tracked)
    missing = bn.running_mean is None and bn.running_var is None
    if bn.training:
        kept = bn.track_running_stats
        return True, bn.running_mean if kept else None, bn.running_var if kept else None, momentum
    return missing, bn.running_mean, bn.running_var, momentum


def _one_after_the_other(bn: Any, y: Tensor, residual: Any, activation: Any) -> Tensor:
    z = bn(y)
    if residual is not None:
        z = z + residual
    if activation is None:
        return z
    return _FUNCTIONS[activation](z) if isinstance(activation, str) else activation(z)
