"""One sparse convolution beside its dense float64 twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tamis.kernels import ConvGeometry, PackedPattern, sparse_conv2d

# Of the sum of the magnitudes of an output's products; a few hundred float32 roundings stay far below.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Case:
    """A convolution; ``padding`` is (top, bottom, left, right)."""

    images: int
    channels: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    sparsity: float = 0.8

    @property
    def geometry(self) -> ConvGeometry:
        return ConvGeometry(self.size, self.kernel, self.stride, self.padding, self.dilation, self.groups)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.outputs, self.channels // self.groups, *self.kernel)

    def mask(self) -> Tensor:
        return torch.rand(self.weight_shape) >= self.sparsity

    def input(self) -> Tensor:
        return torch.randn(self.images, self.channels, *self.size)


def dense(case: Case, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    top, bottom, left, right = case.padding
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, case.stride, 0, case.dilation, case.groups)


def assert_close(got: Tensor, expected: Tensor, magnitude: Tensor, what: str) -> None:
    assert got.shape == expected.shape, what
    assert bool(torch.isfinite(got).all()), f"{what} is not finite"
    off = (got.double() - expected).abs()
    assert bool((off <= ROUNDING * (magnitude + 1e-30)).all()), f"{what} is off by {float(off.max())}"


def check(case: Case, x: Tensor, mask: Tensor | None = None, grad: Tensor | None = None) -> dict[str, Tensor]:
    """Forward and all gradients of ``case`` on ``x`` against float64; returns them."""
    mask = case.mask() if mask is None else mask
    weight, bias = torch.randn(case.weight_shape) * mask, torch.randn(case.outputs)
    pattern = PackedPattern.from_mask(mask)
    # A view of a leaf keeps x's strides, expanded ones included.
    x = x.detach().requires_grad_()
    values, own_bias = pattern.pack(weight).requires_grad_(), bias.clone().requires_grad_()
    y = sparse_conv2d(x, values, own_bias, pattern, case.geometry)
    grad = torch.randn_like(y) if grad is None else grad
    grad_x, grad_values, grad_bias = torch.autograd.grad(y, (x, values, own_bias), grad)

    def twin(*tensors: Tensor) -> tuple[Tensor, ...]:
        xd, wd, bd, gd = (t.detach().double().clone().requires_grad_() for t in tensors)
        yd = dense(case, xd, wd, bd)
        return (yd.detach(), *torch.autograd.grad(yd, (xd, wd, bd), gd.detach()))

    expected = twin(x, weight, bias, grad)
    size = twin(x.abs(), weight.abs(), bias.abs(), grad.abs())
    result = {"y": y.detach(), "grad_x": grad_x, "grad_values": grad_values, "grad_bias": grad_bias}
    for i, name in enumerate(result):
        pick = pattern.pack if name == "grad_values" else lambda t: t
        assert_close(result[name], pick(expected[i]), pick(size[i]), name)
    return result


class NativeCalls(TorchDispatchMode):
    """Counts the native operations that run inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "tamis" and func._opname != "isa":
            self.names.append(func._opname)
        return func(*args, **(kwargs or {}))
