"""Packing and unpacking, the transposed order of weights, and orders of memory: all exact."""

from __future__ import annotations

import torch
from torch import Tensor

from problems._draw import Answer, Draw, Problem
from problems._shapes import shape_2d
from tamis.kernels import PackedPattern, in_format, reference

_ORDERS = ((0, 1, 2, 3), (1, 2, 3, 0), (0, 2, 3, 1))


def transposed(draw: Draw) -> Problem:
    """The order of the live weights for the gradient of the input, against the plain-torch twin."""
    shape = shape_2d(draw)
    mask = draw.mask(shape.weight)
    pattern = PackedPattern.from_mask(mask)
    expected = reference.transpose_pattern(pattern.row_ptr, pattern.indices, shape.geometry, shape.channels)
    names = ("row_ptr", "indices", "source")

    def compute() -> dict[str, Tensor]:
        found = torch.ops.tamis.transpose_pattern(
            pattern.row_ptr, pattern.indices, shape.geometry.as_list(), shape.channels
        )
        return dict(zip(names, found, strict=True))

    text = f"transposed pattern, {shape}, {pattern.nnz} weights live"
    return Problem(text, {name: Answer(t) for name, t in zip(names, expected, strict=True)}, compute)


def pack(draw: Draw) -> Problem:
    """Dense to packed and back, values and gradients."""
    shape = tuple(draw.size(40) for _ in range(draw.whole(2, 4)))
    mask = draw.mask(shape)
    weight, other = draw.values(*shape), draw.values(*shape)
    exact = {"packed": weight[mask], "unpacked": weight * mask, "gradient": other * mask, "mask": mask.double()}

    def compute() -> dict[str, Tensor]:
        first = PackedPattern.from_mask(mask)
        pattern = PackedPattern.from_arrays(shape, first.row_ptr, first.indices)
        leaf = weight.clone().requires_grad_()
        packed = pattern.pack(leaf)
        unpacked = pattern.unpack(packed)
        (gradient,) = torch.autograd.grad(unpacked, leaf, other)
        return {"packed": packed, "unpacked": unpacked, "gradient": gradient, "mask": pattern.mask()}

    return Problem(f"pack {shape}", {name: Answer(t.double()) for name, t in exact.items()}, compute)


def formats(draw: Draw) -> Problem:
    """A batch of images brought into each order of memory."""
    shape = (draw.size(70), draw.size(40), draw.size(30), draw.size(30))
    x = draw.arranged(draw.values(*shape), expand=True)
    exact = {f"{order}": x.double() for order in _ORDERS}

    def compute() -> dict[str, Tensor]:
        found = {}
        for wanted, order in enumerate(_ORDERS):
            y = in_format(x, wanted)
            # In the order asked for; else the comparison sees no values at all.
            found[f"{order}"] = y if y.permute(order).is_contiguous() else y[:0]
        return found

    return Problem(f"formats of {shape}, strides {x.stride()}", {k: Answer(v) for k, v in exact.items()}, compute)


PATTERNS = {"transposed": (1, transposed), "pack": (1, pack), "formats": (2, formats)}
