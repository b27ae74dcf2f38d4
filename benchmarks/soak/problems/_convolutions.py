"""Linear layers and convolutions of every geometry: results and gradients, packed, nested and live."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from problems._draw import Answer, Draw, Problem, rounding
from problems._fused_and_updated import inference, update
from problems._shapes import Shape, answers, shape_2d, shape_linear, twin
from tamis.kernels import (
    InnerPattern,
    PackedPattern,
    live_conv2d,
    live_linear,
    sparse_conv1d,
    sparse_conv2d,
    sparse_linear,
)

Operation = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def differentiable(
    draw: Draw, shape: Shape, mask: Tensor, seen: Tensor, grad_of: PackedPattern | None, operation: Operation, text: str
) -> Problem:
    """The result and a random choice of gradients of ``operation(x, weight or values, bias)``.

    ``seen`` is the mask of the weights that the result depends on, ``grad_of`` the pattern of the packed gradient; None
    for a dense weight with a dense gradient.
    """
    weight = draw.values(*shape.weight) * mask
    bias = draw.values(shape.outputs)
    x = draw.arranged(draw.values(shape.images, shape.channels, *shape.geometry.size), expand=True)
    grad = draw.arranged(draw.values(*shape.output), expand=True)
    with_bias = draw.chance(0.5)
    wanted = draw.pick(
        (("grad_x", "grad_weight", "grad_bias"), ("grad_x", "grad_weight"), ("grad_x",), ("grad_weight",))
    )
    wanted = tuple(name for name in wanted if with_bias or name != "grad_bias")
    used = weight * seen
    b = bias if with_bias else torch.zeros_like(bias)
    exact, size = twin(shape, x, used, b, grad), twin(shape, x.abs(), used.abs(), b.abs(), grad.abs())
    found = answers(draw, shape, exact, size)
    if grad_of is not None:
        old = found["grad_weight"]
        found["grad_weight"] = Answer(grad_of.pack(old.exact), grad_of.pack(old.bound), fixed=True, ordered=False)  # type: ignore[arg-type]
    own = grad_of.pack(weight) if grad_of is not None else weight

    def compute() -> dict[str, Tensor]:
        leaves = {
            "grad_x": x.detach().requires_grad_("grad_x" in wanted),
            "grad_weight": own.detach().clone().requires_grad_("grad_weight" in wanted),
            "grad_bias": bias.clone().requires_grad_("grad_bias" in wanted),
        }
        y = operation(leaves["grad_x"], leaves["grad_weight"], leaves["grad_bias"] if with_bias else None)
        gradients = torch.autograd.grad(y, [leaves[name] for name in wanted], grad)
        return {"y": y.detach(), **dict(zip(wanted, gradients, strict=True))}

    text = f"{text} of {draw.kind} numbers, {shape}, {int(mask.sum())} of {mask.numel()} weights live, x strides "
    text += f"{x.stride()}, gradient strides {grad.stride()}, bias {with_bias}, wanted {wanted}"
    return Problem(text, {name: found[name] for name in ("y", *wanted)}, compute)


def conv2d(draw: Draw) -> Problem:
    """A packed convolution."""
    shape = shape_2d(draw)
    mask = draw.mask(shape.weight)
    pattern = PackedPattern.from_mask(mask)
    return differentiable(
        draw, shape, mask, mask, pattern, lambda x, v, b: sparse_conv2d(x, v, b, pattern, shape.geometry), "conv2d"
    )


def conv1d(draw: Draw) -> Problem:
    """A packed 1-D convolution."""
    shape = shape_2d(draw, one_row=True)
    mask = draw.mask(shape.weight)
    pattern, flat = PackedPattern.from_mask(mask), PackedPattern.from_mask(mask[:, :, 0])

    def operation(x: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        return sparse_conv1d(x[:, :, 0], values, bias, flat, shape.geometry).unsqueeze(2)

    return differentiable(draw, shape, mask, mask, pattern, operation, "conv1d")


def linear(draw: Draw) -> Problem:
    """A packed linear layer."""
    shape = shape_linear(draw)
    mask = draw.mask(shape.weight)
    pattern, flat = PackedPattern.from_mask(mask), PackedPattern.from_mask(mask[:, :, 0, 0])
    lead = draw.pick(("flat", "three"))

    def operation(x: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        x = x[:, :, 0, 0] if lead == "flat" else x[:, None, :, 0, 0]
        return sparse_linear(x, values, bias, flat).reshape(shape.output)

    return differentiable(draw, shape, mask, mask, pattern, operation, f"linear ({lead})")


def nested(draw: Draw) -> Problem:
    """Two patterns: the result by the inner one, the gradient of the weights by the outer one."""
    shape = shape_2d(draw) if draw.chance(0.7) else shape_linear(draw)
    outer = draw.mask(shape.weight)
    inner = outer & (torch.rand(shape.weight, generator=draw.generator) < draw.pick((0.0, 0.3, 0.7, 1.0)))
    pattern = PackedPattern.from_mask(outer)
    within = InnerPattern.from_mask(pattern, inner)
    return differentiable(
        draw, shape, outer, inner, pattern,
        lambda x, v, b: sparse_conv2d(x, v, b, pattern, shape.geometry, within), "nested conv2d",
    )  # fmt: skip


def live(draw: Draw) -> Problem:
    """A dense weight that is zero outside its pattern, with its dense gradient."""
    if draw.chance(0.3):
        shape = shape_linear(draw)
        mask = draw.mask(shape.weight)
        flat = PackedPattern.from_mask(mask[:, :, 0, 0])

        def operation(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return live_linear(x[:, :, 0, 0], weight[:, :, 0, 0], bias, flat).reshape(shape.output)
    else:
        shape = shape_2d(draw)
        mask = draw.mask(shape.weight)
        pattern = PackedPattern.from_mask(mask)

        def operation(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return live_conv2d(x, weight, bias, pattern, shape.geometry)

    problem = differentiable(draw, shape, mask, mask, None, operation, "live")
    loose = problem.answers.get("grad_weight")
    if loose is not None:  # torch's own dense kernel, whose algorithms may transform what they multiply
        problem.answers["grad_weight"] = Answer(
            loose.exact, rounding(shape.images * shape.pixels) * 16 * loose.exact.abs().amax(), False, False
        )
    return problem


CONVOLUTIONS = {
    "conv2d": (8, conv2d), "conv1d": (2, conv1d), "linear": (4, linear), "nested": (3, nested), "live": (2, live),
    "inference": (3, inference), "update": (1, update),
}  # fmt: skip
