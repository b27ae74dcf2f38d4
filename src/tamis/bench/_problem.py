"""One layer at one sparsity: operands that all contestants share, and the float64 answer they are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from tamis.bench._cases import LayerCase

_CHECKED = 8  # images or rows that are compared with float64


def as_given(x: Tensor) -> Tensor:
    """The layout of a user's tensor: contiguous, NCHW."""
    return x


def channels_last(x: Tensor) -> Tensor:
    """NHWC in memory; (N, C) tensors stay."""
    return x.to(memory_format=torch.channels_last) if x.dim() == 4 else x


def batch_last(x: Tensor) -> Tensor:
    """The batch innermost in memory: strides (1, H*W*N, W*N, N) of an (N, C, H, W) tensor, (1, N) of an (N, C) one."""
    return x.movedim(0, -1).contiguous().movedim(-1, 0)


@dataclass(eq=False)
class Contestant:
    """One way to compute a layer.

    Attributes:
        infer: input -> output, called without autograd.
        x: the input in the contestant's layout.
        train: the same with autograd; None for one that has no backward.
        grad: gradient of the output in the contestant's layout.
        weight: leaf that receives the weight's gradient; None without backward.
        dense_gradient: from the leaf's gradient to one of the dense weight's shape.
    """

    infer: Callable[[Tensor], Tensor]
    x: Tensor
    train: Callable[[Tensor], Tensor] | None = None
    grad: Tensor | None = None
    weight: Tensor | None = None
    dense_gradient: Callable[[Tensor], Tensor] = as_given

    def __post_init__(self) -> None:
        self.x = self.x.detach().requires_grad_(self.train is not None)

    def forward(self) -> Tensor:
        """The output, computed in inference mode."""
        with torch.inference_mode():
            return self.infer(self.x)

    def both(self, grad: Tensor | None = None) -> None:
        """Forward and backward with both gradients, which are left in ``x.grad`` and ``weight.grad``."""
        assert self.train is not None
        assert self.weight is not None
        self.x.grad = self.weight.grad = None
        self.train(self.x).backward(self.grad if grad is None else grad)


@dataclass(frozen=True, eq=False)
class Problem:
    """Operands of a layer: ``x`` and ``grad`` in NCHW, ``weight`` with exact zeros outside ``mask`` (bool)."""

    case: LayerCase
    sparsity: float
    x: Tensor
    grad: Tensor
    weight: Tensor
    mask: Tensor

    @classmethod
    def several(cls, case: LayerCase, sparsities: Sequence[float]) -> list[Problem]:
        """One problem a sparsity, with the same input, gradient and (apart from the zeros) weight."""
        generator = torch.Generator().manual_seed(0)
        weight, chance = (f(case.weight_shape, generator=generator) for f in (torch.randn, torch.rand))
        x, grad = (torch.randn(shape, generator=generator) for shape in (case.input_shape, case.output_shape))
        return [cls(case, s, x, grad, weight * (chance >= s), chance >= s) for s in sparsities]

    def dense(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer in plain torch."""
        if self.case.pixels:
            return F.conv2d(x, weight, None, self.case.stride, self.case.padding)
        return F.linear(x, weight)

    @cached_property
    def chosen(self) -> Tensor:
        """Indices of the compared images, spread over the batch."""
        count = min(_CHECKED, self.case.batch)
        return torch.linspace(0, self.case.batch - 1, count).long()

    @cached_property
    def exact(self) -> tuple[Tensor, Tensor, Tensor]:
        """In float64: output, gradient of the input, and of the live weights, of the compared images alone."""
        x = self.x[self.chosen].double().requires_grad_()
        weight = self.weight.double().requires_grad_()
        y = self.dense(x, weight)
        grad_x, grad_weight = torch.autograd.grad(y, (x, weight), self.grad[self.chosen].double())
        return y.detach(), grad_x, grad_weight[self.mask]

    def errors(self, contestant: Contestant) -> tuple[float, float | None]:
        """Largest difference from float64 over the largest float64 value: of the output, and of both gradients.

        The contestant computes its whole batch; the gradient is zero for all but the compared images, so that the
        weight's gradient is theirs.  None stands for a contestant without backward.
        """
        y, grad_x, grad_weight = self.exact
        forward = difference(contestant.forward()[self.chosen], y)
        if contestant.train is None:
            return forward, None
        assert contestant.grad is not None
        grad = torch.zeros_like(contestant.grad)
        grad[self.chosen] = contestant.grad[self.chosen]
        contestant.both(grad)
        assert contestant.x.grad is not None
        assert contestant.weight is not None
        assert contestant.weight.grad is not None
        found = contestant.dense_gradient(contestant.weight.grad).reshape(self.mask.shape)[self.mask]
        return forward, max(difference(contestant.x.grad[self.chosen], grad_x), difference(found, grad_weight))


def difference(found: Tensor, exact: Tensor) -> float:
    """Largest difference over the largest value of ``exact`` (float64)."""
    if not exact.numel():
        return 0.0
    return float((found.detach().double() - exact).abs().max() / exact.abs().max().clamp_min(1e-300))
