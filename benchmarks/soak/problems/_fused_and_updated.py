"""Convolutions fused with what follows them, and packed weights that an optimizer moves."""

from __future__ import annotations

import torch
from torch import Tensor

from problems._draw import Answer, Draw, Problem, fresh, rounding
from problems._shapes import dense, shape_2d, shape_linear, terms, twin
from tamis.kernels import (
    PackedPattern,
    sparse_conv2d,
    sparse_conv2d_inference,
)


def inference(draw: Draw) -> Problem:
    """Convolution, bias, residual and ReLU in one pass."""
    shape = shape_2d(draw)
    mask = draw.mask(shape.weight)
    pattern = PackedPattern.from_mask(mask)
    weight, bias = draw.values(*shape.weight) * mask, draw.values(shape.outputs)
    x = draw.arranged(draw.values(shape.images, shape.channels, *shape.geometry.size), expand=True)
    residual = draw.arranged(draw.values(*shape.output), expand=True) if draw.chance(0.6) else None
    with_bias, relu = draw.chance(0.5), draw.chance(0.6)
    b = bias if with_bias else torch.zeros_like(bias)
    exact = dense(shape, fresh(x), fresh(weight), fresh(b))
    size = dense(shape, fresh(x).abs(), fresh(weight).abs(), fresh(b).abs())
    if residual is not None:
        exact, size = exact + residual.double(), size + residual.abs().double()
    exact = exact.relu() if relu else exact
    values = pattern.pack(weight)

    def compute() -> dict[str, Tensor]:
        return {
            "y": sparse_conv2d_inference(
                x, values, bias if with_bias else None, pattern, shape.geometry, residual=residual, relu=relu
            )
        }

    text = f"inference of {draw.kind} numbers, {shape}, {int(mask.sum())} weights live, x strides {x.stride()}, "
    text += f"residual strides {None if residual is None else residual.stride()}, bias {with_bias}, relu {relu}"
    return Problem(text, {"y": Answer(exact, draw.below(rounding(terms(shape)["y"] + 1)) * size)}, compute)


def update(draw: Draw) -> Problem:
    """Two steps of SGD with momentum and weight decay on packed values, against a masked dense weight."""
    shape = shape_2d(draw) if draw.chance(0.6) else shape_linear(draw)
    mask = draw.mask(shape.weight)
    pattern = PackedPattern.from_mask(mask)
    draw.kind = "normal"
    weight, grads = draw.values(*shape.weight) * mask, [draw.values(*shape.output) for _ in range(2)]
    x = draw.arranged(draw.values(shape.images, shape.channels, *shape.geometry.size))
    rate, momentum, decay = 0.1, 0.9, 0.01
    zero = torch.zeros(shape.outputs)

    def run(sign: float) -> Tensor:
        """Exact weights after both steps; with sign +1 all magnitudes add up."""
        of = (lambda t: t.abs()) if sign > 0 else (lambda t: t)
        w, velocity = of(weight).double(), torch.zeros(shape.weight, dtype=torch.float64)
        for grad in grads:
            got = twin(shape, of(x), w, zero, of(grad))["grad_weight"] * mask
            velocity = momentum * velocity + got + decay * w
            w = w + sign * rate * velocity
        return pattern.pack(w)

    exact, size = run(-1.0), run(1.0)

    def compute() -> dict[str, Tensor]:
        values = pattern.pack(weight).requires_grad_()
        optimizer = torch.optim.SGD([values], lr=rate, momentum=momentum, weight_decay=decay)
        for grad in grads:
            optimizer.zero_grad()
            sparse_conv2d(x, values, None, pattern, shape.geometry).backward(grad)
            optimizer.step()
        return {"weight": values.detach()}

    bound = rounding(shape.images * shape.pixels + 16) * size
    text = f"update, {shape}, {int(mask.sum())} weights live, x strides {x.stride()}"
    return Problem(text, {"weight": Answer(exact, bound, ordered=False)}, compute)
