"""Linear layers and convolutions of every geometry: results and gradients, packed, nested, live and fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from problems._draw import Answer, Draw, Problem, fresh, rounding
from tamis.kernels import (
    ConvGeometry,
    InnerPattern,
    PackedPattern,
    live_conv2d,
    live_linear,
    sparse_conv1d,
    sparse_conv2d,
    sparse_conv2d_inference,
    sparse_linear,
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


def shape_linear(draw: Draw) -> Shape:
    shape = Shape(draw.size(300), draw.size(draw.pick((40, 700))), draw.size(draw.pick((20, 300))), ConvGeometry())
    return shape if shape.products <= MOST_PRODUCTS else shape_linear(draw)


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


CONVOLUTIONS = {
    "conv2d": (8, conv2d), "conv1d": (2, conv1d), "linear": (4, linear), "nested": (3, nested), "live": (2, live),
    "inference": (3, inference), "update": (1, update),
}  # fmt: skip
