"""Batch norm with residual and activation, max pool, and a whole block of them behind a sparse convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from problems._draw import UNIT, Answer, Draw, Problem, fresh, rounding
from problems._shapes import dense, shape_2d, twin
from tamis.kernels import PackedPattern, max_pool2d, norm_act, sparse_conv2d

_KINKS = {"none": (), "relu": (0.0,), "relu6": (0.0, 6.0)}
_ACTIVATIONS = {"none": lambda z: z, "relu": F.relu, "relu6": F.relu6}


def _quiet_at_kinks(grad: Tensor, before: Tensor, bound: Tensor | float, activation: str) -> Tensor:
    """``grad``, 0 where rounding decides on which side of a kink a value lies."""
    for kink in _KINKS[activation]:
        grad = torch.where((before.detach() - kink).abs() <= bound, 0.0, grad)
    return grad


def norm(draw: Draw) -> Problem:
    """Batch norm, residual and activation; training or not."""
    shape = (draw.size(70), draw.size(24), draw.size(24), draw.size(24))
    if shape[0] * shape[2] * shape[3] < 4 or shape[0] * shape[1] * shape[2] * shape[3] > 400_000:
        return norm(draw)
    activation, training = draw.pick(tuple(_KINKS)), draw.chance(0.6)
    affine, with_residual, tracked = draw.chance(0.8), draw.chance(0.5), not training or draw.chance(0.8)
    spread, shift = draw.pick((1.0, 1e-3, 30.0)), draw.pick((0.0, 0.0, 1.0, 50.0))
    y = draw.arranged((draw.normal(*shape) + shift) * spread)
    residual = draw.arranged(draw.normal(*shape)) if with_residual else None
    weight = draw.normal(shape[1]) + 1 if affine else None
    bias = draw.normal(shape[1]) if affine else None
    mean = draw.normal(shape[1]) * spread if tracked else None
    var = (draw.normal(shape[1]).abs() + 0.5) * spread**2 if tracked else None
    momentum, eps = draw.pick((0.1, 0.3)), draw.pick((1e-5, 1e-3))
    given = {"y": y, "residual": residual, "weight": weight, "bias": bias}
    exact_of = {k: fresh(t).requires_grad_() for k, t in given.items() if t is not None}
    exact_mean, exact_var = (None if t is None else t.double().clone() for t in (mean, var))
    normed = F.batch_norm(
        exact_of["y"], exact_mean, exact_var, exact_of.get("weight"), exact_of.get("bias"), training, momentum, eps
    )
    before = normed if residual is None else normed + exact_of["residual"]
    z = _ACTIVATIONS[activation](before)
    # Sizes of what is added up, a channel: (1, C, 1, 1).
    if training:
        mu = y.double().mean((0, 2, 3), keepdim=True)
        sigma2 = y.double().var((0, 2, 3), unbiased=False, keepdim=True)
    else:
        mu, sigma2 = (t.double().view(1, -1, 1, 1) for t in (mean, var))
    rstd = (sigma2 + eps).rsqrt()
    scale = rstd if weight is None else rstd * weight.double().abs().view(1, -1, 1, 1)
    # A mean of many numbers is off by a part of their size, not of its own.
    size = (y.double().abs() + (y.double().abs().mean((0, 2, 3), keepdim=True) if training else mu.abs())) * scale
    size = size + (0 if bias is None else bias.double().abs().view(1, -1, 1, 1))
    size = size + (0 if residual is None else residual.double().abs())
    # The variance is off by a part of the product of the values' size with the deviation.
    width = 1 + (mu.abs() * rstd)
    bound = 16 * UNIT * size * (width if training else 1)
    grad = draw.arranged(_quiet_at_kinks(draw.normal(*shape), before, 2 * bound, activation).float())
    names = [name for name in given if given[name] is not None and (name == "y" or draw.chance(0.8))]
    gradients = torch.autograd.grad(z, [exact_of[name] for name in names], fresh(grad))
    hat = (y.double() - mu) * rstd
    reach = grad.double().abs()
    means = [t.mean((0, 2, 3), keepdim=True) for t in (reach, reach * (hat.abs() + width))] if training else [0, 0]
    found = {"z": Answer(z.detach(), bound)}
    places = shape[0] * shape[2] * shape[3]
    for name, exact in zip(names, gradients, strict=True):
        slack = {
            "y": scale * (reach + means[0] + (hat.abs() + width) * means[1]) * (width if training else 1),
            "residual": reach,
            "weight": (reach * (hat.abs() + width)).sum((0, 2, 3)) * (width.view(-1) if training else 1),
            "bias": reach.sum((0, 2, 3)),
        }[name]
        found[f"grad_{name}"] = Answer(exact, UNIT * (16 + 2 * places**0.5) * slack)
    if training and tracked:
        unbiased = sigma2.view(-1) * places / (places - 1)
        found["mean"] = Answer(exact_mean, 16 * UNIT * (mean.double().abs() + y.double().abs().mean((0, 2, 3))))
        found["var"] = Answer(exact_var, 16 * UNIT * (var.double() + unbiased * width.view(-1) ** 2))

    def compute() -> dict[str, Tensor]:
        leaves = {k: t.detach().requires_grad_(k in names) for k, t in given.items() if t is not None}
        own_mean, own_var = (None if t is None else t.clone() for t in (mean, var))
        got = norm_act(
            leaves["y"], weight=leaves.get("weight"), bias=leaves.get("bias"), running_mean=own_mean,
            running_var=own_var, training=training, momentum=momentum, eps=eps, residual=leaves.get("residual"),
            activation=activation,
        )  # fmt: skip
        own = torch.autograd.grad(got, [leaves[name] for name in names], grad)
        results = {"z": got.detach(), **{f"grad_{name}": g for name, g in zip(names, own, strict=True)}}
        return {**results, "mean": own_mean, "var": own_var} if training and tracked else results

    text = f"norm of {shape}, strides {y.stride()}, {activation}, training {training}, affine {affine}, spread {spread}"
    text += f", shift {shift}, residual {None if residual is None else residual.stride()}, gradients {names}, eps {eps}"
    return Problem(text, found, compute)


def _windows_meet(shape: tuple[int, ...], how: dict[str, Any]) -> bool:
    """Whether each window has a place inside the picture; where one has none, torch 2.13's gradient writes anywhere."""
    _, place = F.max_pool2d(torch.zeros(1, 1, *shape[2:]), return_indices=True, **how)
    return int(place.min()) >= 0 and int(place.max()) < shape[2] * shape[3]


def pool(draw: Draw) -> Problem:
    """Max pool with its gradient; the same maxima as torch's, ties and infinities included."""
    while True:
        shape = (draw.size(70), draw.size(16), draw.size(24), draw.size(24))
        kernel, stride = (draw.whole(1, 5), draw.whole(1, 5)), (draw.whole(1, 4), draw.whole(1, 4))
        padding, dilation = tuple(draw.whole(0, k // 2) for k in kernel), (1, 1)
        if draw.chance(0.2):
            dilation = (draw.whole(1, 3), draw.whole(1, 3))
        how = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        room = [n + 2 * p - d * (k - 1) for n, p, k, d in zip(shape[2:], padding, kernel, dilation, strict=True)]
        how["ceil_mode"] = draw.chance(0.3)
        if min(room) >= 1 and shape[0] * shape[1] * shape[2] * shape[3] <= 200_000 and _windows_meet(shape, how):
            break
    x = draw.arranged(draw.values(*shape))
    if draw.chance(0.3):
        x = torch.where(draw.normal(*shape) > 2.5, float("-inf"), x)
    leaf = fresh(x).requires_grad_()
    y = F.max_pool2d(leaf, **how)
    grad = draw.arranged(draw.values(*y.shape))
    (exact,) = torch.autograd.grad(y, leaf, fresh(grad), retain_graph=True)
    (size,) = torch.autograd.grad(y, leaf, fresh(grad).abs())
    bound = draw.below(UNIT * kernel[0] * kernel[1]) * size

    def compute() -> dict[str, Tensor]:
        own = x.detach().requires_grad_()
        got = max_pool2d(own, **how)
        return {"y": got.detach(), "grad_x": torch.autograd.grad(got, own, grad)[0]}

    text = f"max pool of {shape} {draw.kind} numbers, strides {x.stride()}, {how}, gradient strides {grad.stride()}"
    return Problem(text, {"y": Answer(y.detach()), "grad_x": Answer(exact, bound)}, compute)


def block(draw: Draw) -> Problem:
    """Convolution, batch norm with residual, activation: no farther from float64 than torch's own float32 three."""
    draw.kind = "normal"
    shape = shape_2d(draw)
    places = shape.images * shape.pixels
    if places < 8:
        return block(draw)
    mask = draw.mask(shape.weight)
    pattern = PackedPattern.from_mask(mask)
    activation = draw.pick(tuple(_KINKS))
    weight = draw.values(*shape.weight) * mask
    x = draw.arranged(draw.values(shape.images, shape.channels, *shape.geometry.size))
    residual = draw.arranged(draw.values(*shape.output))
    scale, bias = draw.values(shape.outputs) + 1, draw.values(shape.outputs)
    inputs = {"x": x, "weight": weight, "residual": residual, "scale": scale, "bias": bias}

    def torchs(dtype: torch.dtype, grad: Tensor | None) -> dict[str, Tensor]:
        t = {name: fresh(value).to(dtype).requires_grad_() for name, value in inputs.items()}
        y = dense(shape, t["x"], t["weight"], None)
        before = F.batch_norm(y, None, None, t["scale"], t["bias"], True) + t["residual"]
        z = _ACTIVATIONS[activation](before)
        if grad is None:
            return {"before": before.detach(), "z": z.detach()}
        gradients = torch.autograd.grad(z, tuple(t.values()), fresh(grad).to(dtype))
        found = {"z": z.detach(), **{f"grad_{n}": g for n, g in zip(t, gradients, strict=True)}}
        return {**found, "grad_weight": pattern.pack(found["grad_weight"])}

    plain = torchs(torch.float64, None)["before"]
    drift = 32 * float((torchs(torch.float32, None)["before"].double() - plain).abs().max()) + 1e-5
    grad = draw.arranged(_quiet_at_kinks(draw.values(*shape.output), plain, drift, activation).float())
    exact, theirs = torchs(torch.float64, grad), torchs(torch.float32, grad)

    def compute() -> dict[str, Tensor]:
        t = {name: value.detach().requires_grad_() for name, value in inputs.items() if name != "weight"}
        values = pattern.pack(weight).requires_grad_()
        y = sparse_conv2d(t["x"], values, None, pattern, shape.geometry)
        z = norm_act(y, weight=t["scale"], bias=t["bias"], residual=t["residual"], activation=activation)
        leaves = (t["x"], values, t["residual"], t["scale"], t["bias"])
        own = torch.autograd.grad(z, leaves, grad)
        return {"z": z.detach(), **{f"grad_{n}": g for n, g in zip(inputs, own, strict=True)}}

    # Torch's error may be small by luck where terms cancel: the sums of magnitudes say what rounding may do.
    y = dense(shape, fresh(x), fresh(weight), None)
    deviation = (y.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    hat = ((y - y.mean((0, 2, 3), keepdim=True)) / deviation).abs()
    reach = fresh(grad).abs()
    through = reach + reach.mean((0, 2, 3), keepdim=True) + hat * (reach * hat).mean((0, 2, 3), keepdim=True)
    through = through * fresh(scale).abs().view(1, -1, 1, 1) / deviation
    size = twin(shape, fresh(x).abs(), fresh(weight).abs(), torch.zeros(shape.outputs), through)
    lost = 1 + float((size["y"] / deviation).max())  # what the mean's subtraction loses
    sizes = {
        "z": size["y"] / deviation + 1, "grad_x": size["grad_x"], "grad_weight": pattern.pack(size["grad_weight"]),
        "grad_residual": reach, "grad_scale": (reach * (1 + hat)).sum((0, 2, 3)), "grad_bias": reach.sum((0, 2, 3)),
    }  # fmt: skip
    found = {}
    for name, value in exact.items():
        largest = float(sizes[name].max()) if value.numel() else 0.0
        off = float((theirs[name].double() - value).abs().max()) if value.numel() else 0.0
        bound = 16 * off + rounding(places) * lost * largest
        found[name] = Answer(value, bound, ordered=name in ("z", "grad_residual"))
    text = f"block, {shape}, {int(mask.sum())} weights live, {activation}, x strides {x.stride()}, residual strides "
    return Problem(f"{text}{residual.stride()}, gradient strides {grad.stride()}", found, compute)


IMAGES = {"norm": (4, norm), "pool": (3, pool), "block": (2, block)}
