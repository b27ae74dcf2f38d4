"""Random linear layers and convolutions of every geometry, and their answers: a dense twin in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from problems._draw import Answer, Draw, fresh, rounding
from tamis.kernels import (
    ConvGeometry,
)

MOST_PRODUCTS = 6_000_000  # of the dense twin: about a tenth of a second for forward and gradients


@dataclass(frozen=True)
class Shape:
    """A convolution without its numbers."""

    images: int
    channels: int
    outputs: int
    geometry: ConvGeometry

    @property
    def weight(self) -> tuple[int, int, int, int]:
        return (self.outputs, self.channels // self.geometry.groups, *self.geometry.kernel)

    @property
    def output(self) -> tuple[int, int, int, int]:
        return (self.images, self.outputs, *self.geometry.output_size)

    @property
    def pixels(self) -> int:
        return self.geometry.output_size[0] * self.geometry.output_size[1]

    @property
    def products(self) -> int:
        return self.images * self.pixels * self.outputs * self.weight[1] * self.geometry.taps


def shape_2d(draw: Draw, one_row: bool = False) -> Shape:
    """A convolution of any geometry whose dense twin is affordable."""
    while True:
        groups = 1 if draw.chance(0.7) else draw.whole(2, 6)
        depthwise = draw.chance(0.1)
        channels = draw.size(24) if depthwise else groups * draw.size(draw.pick((8, 32, 130)))
        groups = channels if depthwise else groups
        outputs = groups * (draw.whole(1, 3) if depthwise else draw.size(draw.pick((8, 40))))
        kernel = draw.pick(((1, 1), (3, 3), (3, 3), (draw.whole(1, 7), draw.whole(1, 7))))
        stride = draw.pick(((1, 1), (1, 1), (2, 2), (draw.whole(1, 5), draw.whole(1, 5))))
        dilation = (1, 1) if draw.chance(0.7) else (draw.whole(1, 3), draw.whole(1, 3))
        most = [k * d for k, d in zip(kernel, dilation, strict=True)]
        pads = draw.pick(((0, 0, 0, 0), (most[0] // 2,) * 2 + (most[1] // 2,) * 2, None))
        if pads is None:
            pads = (*(draw.whole(0, most[0] + 1) for _ in "ab"), *(draw.whole(0, most[1] + 1) for _ in "ab"))
        size = (draw.size(20), draw.size(draw.pick((20, 20, 150))))
        if one_row:
            size, kernel, stride, dilation = ((1, t[1]) for t in (size, kernel, stride, dilation))
            pads = (0, 0, *pads[2:])
        images = 0 if draw.chance(0.02) else draw.size(draw.pick((4, 20, 70)))
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        if size[0] + pads[0] + pads[1] < reach[0] or size[1] + pads[2] + pads[3] < reach[1]:
            continue
        shape = Shape(images, channels, outputs, ConvGeometry(size, kernel, stride, pads, dilation, groups))
        if shape.products <= MOST_PRODUCTS:
            return shape


def dense(shape: Shape, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    g = shape.geometry
    top, bottom, left, right = g.padding
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, g.stride, 0, g.dilation, g.groups)


def twin(shape: Shape, x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Result and gradients in float64; of magnitudes it gives the sums of magnitudes."""
    x, weight, bias = (fresh(t).requires_grad_() for t in (x, weight, bias))
    y = dense(shape, x, weight, bias)
    gradients = torch.autograd.grad(y, (x, weight, bias), fresh(grad))
    return dict(zip(("y", "grad_x", "grad_weight", "grad_bias"), (y.detach(), *gradients), strict=True))


def terms(shape: Shape) -> dict[str, int]:
    """Most products that are added up for one value of each result."""
    g, places = shape.geometry, shape.images * shape.pixels
    per_output = shape.weight[1] * g.taps + 1
    return {
        "y": per_output, "grad_x": shape.outputs // g.groups * g.taps, "grad_weight": places, "grad_bias": places
    }  # fmt: skip


def answers(draw: Draw, shape: Shape, exact: dict[str, Tensor], size: dict[str, Tensor]) -> dict[str, Answer]:
    found = {}
    for name, terms_of in terms(shape).items():
        # Sums over the batch are cut by layout; the bias's is torch's own.
        found[name] = Answer(
            exact[name], draw.below(rounding(terms_of)) * size[name],
            fixed=name != "grad_bias", ordered=name in ("y", "grad_x"),
        )  # fmt: skip
    return found


def shape_linear(draw: Draw) -> Shape:
    shape = Shape(draw.size(300), draw.size(draw.pick((40, 700))), draw.size(draw.pick((20, 300))), ConvGeometry())
    return shape if shape.products <= MOST_PRODUCTS else shape_linear(draw)
