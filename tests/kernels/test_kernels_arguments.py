"""The operations themselves survive any argument: they check before they form a pointer."""

from __future__ import annotations

import pytest
import torch

from tamis.kernels import ConvGeometry, reference

GEOMETRY = ConvGeometry((6, 5), (3, 2), (2, 1), (1, 1, 0, 1), groups=2)
MASK = torch.arange(4 * 3 * 6).reshape(4, 3, 3, 2) % 5 < 2
ROW_PTR = torch.cat([torch.zeros(1, dtype=torch.int64), MASK.flatten(1).sum(1).cumsum(0)])
INDICES = MASK.flatten(1).nonzero()[:, 1].to(torch.int32)
NNZ = INDICES.numel()
OUT = (2, 4, *GEOMETRY.output_size)


def call(op, **changes):
    t_row_ptr, t_indices, source = reference.transpose_pattern(ROW_PTR, INDICES, GEOMETRY, 6)
    transposed = op == "conv_grad_input"
    given = {
        "x": torch.ones(2, 6, 6, 5), "grad": torch.ones(OUT), "values": torch.ones(NNZ), "bias": torch.ones(4),
        "row_ptr": t_row_ptr if transposed else ROW_PTR, "indices": t_indices if transposed else INDICES,
        "t_row_ptr": t_row_ptr, "t_indices": t_indices, "source": source,
        "geometry": GEOMETRY.as_list(), "channels": 6, "layout": 0,
    }  # fmt: skip
    given.update({name: change(given[name]) for name, change in changes.items()})
    names = {
        "conv_forward": ["x", "values", "bias", "row_ptr", "indices", "geometry", "layout"],
        "conv_grad_input": ["grad", "values", "row_ptr", "indices", "source", "geometry", "channels", "layout"],
        "conv_grad_values": ["grad", "x", "row_ptr", "indices", "geometry", "layout"],
        "conv_gradients": [
            "grad",
            "x",
            "values",
            "row_ptr",
            "indices",
            "t_row_ptr",
            "t_indices",
            "source",
            "geometry",
            "layout",
        ],
        "transpose_pattern": ["row_ptr", "indices", "geometry", "channels"],
    }[op]
    unused = set(changes) - set(names)
    assert not unused, unused
    return getattr(torch.ops.tamis, op)(*(given[name] for name in names))


def put(position, value):
    def change(old):
        new = old.clone() if isinstance(old, torch.Tensor) else list(old)
        new[position] = value
        return new

    return change


OPS = ("conv_forward", "conv_grad_input", "conv_grad_values", "conv_gradients", "transpose_pattern")
PATTERN = {
    "index too large": {"indices": put(2, 10**6)},
    "last index one too large": {"indices": put(-1, 18)},
    "negative index": {"indices": put(0, -1)},
    "row_ptr falls": {"row_ptr": put(1, 10**9)},
    "row_ptr negative": {"row_ptr": put(1, -5)},
    "row_ptr starts late": {"row_ptr": put(0, 1)},
    "row_ptr ends late": {"row_ptr": put(-1, NNZ + 1)},
    "row_ptr too short": {"row_ptr": lambda t: t[:-1]},
    "row_ptr empty": {"row_ptr": lambda t: t[:0]},
    "row_ptr int32": {"row_ptr": lambda t: t.int()},
    "indices int64": {"indices": lambda t: t.long()},
    "indices strided": {"indices": lambda t: t.repeat_interleave(2)[::2]},
    "stride 0": {"geometry": put(6, 0)},
    "groups 0": {"geometry": put(12, 0)},
    "no taps": {"geometry": put(4, 0)},
    "two negative tap counts": {"geometry": lambda g: [*g[:4], -3, -2, *g[6:]]},
    "a number beyond 2**31": {"geometry": put(8, 2**40)},
    "huge strides": {"geometry": lambda g: [*g[:6], 2**30, 2**30, *g[8:]]},
    "groups that do not divide": {"geometry": put(12, 5)},
    "short geometry": {"geometry": lambda g: g[:-1]},
}


@pytest.mark.parametrize("change", PATTERN.values(), ids=PATTERN)
@pytest.mark.parametrize("op", OPS)
def test_a_foreign_pattern_or_geometry_is_refused(op, change):
    call(op)
    with pytest.raises(RuntimeError, match="tamis: "):
        call(op, **change)


OTHER = {
    "values too short": ("conv_forward", {"values": lambda t: t[:-1]}),
    "values float64": ("conv_forward", {"values": lambda t: t.double()}),
    "bias too long": ("conv_forward", {"bias": lambda t: torch.ones(5)}),
    "another picture": ("conv_forward", {"x": lambda t: t[:, :, :-1]}),
    "another number of channels": ("conv_forward", {"x": lambda t: t[:, :4]}),
    "float64 input": ("conv_forward", {"x": lambda t: t.double()}),
    "three dimensions": ("conv_forward", {"x": lambda t: t[0]}),
    "unknown layout": ("conv_forward", {"layout": lambda t: 3}),
    "source out of range": ("conv_grad_input", {"source": put(0, NNZ)}),
    "source negative": ("conv_grad_input", {"source": put(1, -1)}),
    "source short": ("conv_grad_input", {"source": lambda t: t[:-1]}),
    "fewer channels": ("conv_grad_input", {"channels": lambda n: 4}),
    "negative channels": ("conv_grad_input", {"channels": lambda n: -6}),
    "gradient of another picture": ("conv_grad_input", {"grad": lambda t: t[:, :, :-1]}),
    "gradient of another batch": ("conv_grad_values", {"grad": lambda t: t[:1]}),
    "gradient of other outputs": ("conv_grad_values", {"grad": lambda t: t[:, :2]}),
    "input of other channels": ("conv_grad_values", {"x": lambda t: t[:, :4]}),
    "both: transposed index too large": ("conv_gradients", {"t_indices": put(2, 10**6)}),
    "both: transposed row_ptr falls": ("conv_gradients", {"t_row_ptr": put(1, 10**9)}),
    "both: a transposed pattern of another length": ("conv_gradients", {"t_indices": lambda t: t[:-1]}),
    "both: source out of range": ("conv_gradients", {"source": put(0, NNZ)}),
    "both: values too short": ("conv_gradients", {"values": lambda t: t[:-1]}),
    "both: gradient of another batch": ("conv_gradients", {"grad": lambda t: t[:1]}),
    "both: input of other channels": ("conv_gradients", {"x": lambda t: t[:, :4]}),
    "more channels than the pattern": ("transpose_pattern", {"channels": lambda n: 4}),
}


@pytest.mark.parametrize(("op", "change"), OTHER.values(), ids=OTHER)
def test_other_arguments_that_do_not_fit_are_refused(op, change):
    call(op)
    with pytest.raises(RuntimeError, match="tamis: "):
        call(op, **change)


def test_a_panel_beyond_32_bit_offsets_is_an_error_not_a_crash():
    one = torch.tensor([0, 2]), torch.tensor([0, 1], dtype=torch.int32)
    geometry = [1, 2**30 + 1, 1, 1, 1, 2, 1, 1, 0, 0, 1, 2**30, 1]  # two taps, 2**30 columns apart
    x = torch.zeros(1).expand(1, 1, 1, 2**30 + 1)
    grad = torch.ones(1, 1, 1, 1)
    with pytest.raises(ValueError, match="too wide"):
        torch.ops.tamis.conv_grad_values(grad, x, *one, geometry, 2)


def test_transpose_pattern_equals_its_plain_torch_twin():
    for geometry, channels in ((GEOMETRY, 6), (ConvGeometry((6, 5), (3, 2), (1, 3), (2, 0, 1, 1), (1, 2)), 3)):
        native = torch.ops.tamis.transpose_pattern(ROW_PTR, INDICES, geometry.as_list(), channels)
        for got, twin in zip(native, reference.transpose_pattern(ROW_PTR, INDICES, geometry, channels), strict=True):
            assert got.dtype == twin.dtype
            assert torch.equal(got, twin)


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "channels_last"])
@pytest.mark.parametrize("op", OPS)
def test_operations_pass_opcheck(op, format):
    t_row_ptr, t_indices, source = reference.transpose_pattern(ROW_PTR, INDICES, GEOMETRY, 6)
    x, grad = torch.randn(2, 6, 6, 5).to(memory_format=format), torch.randn(OUT).to(memory_format=format)
    numbers = GEOMETRY.as_list()
    arguments = {
        "conv_forward": (x, torch.randn(NNZ), torch.randn(4), ROW_PTR, INDICES, numbers, 0),
        "conv_grad_input": (grad, torch.randn(NNZ), t_row_ptr, t_indices, source, numbers, 6, 0),
        "conv_grad_values": (grad, x, ROW_PTR, INDICES, numbers, 0),
        "conv_gradients": (grad, x, torch.randn(NNZ), ROW_PTR, INDICES, t_row_ptr, t_indices, source, numbers, 0),
        "transpose_pattern": (ROW_PTR, INDICES, numbers, 6),
    }[op]
    results = torch.library.opcheck(getattr(torch.ops.tamis, op).default, arguments)
    assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (4, 5)])
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "channels_last"])
def test_fakes_promise_the_shape_and_strides_that_come(channels, size, format):
    from torch._subclasses.fake_tensor import FakeTensorMode

    geometry = ConvGeometry(size)
    row_ptr, indices = torch.arange(5) * channels, torch.arange(channels, dtype=torch.int32).repeat(4)
    x = torch.randn(3, channels, *size).to(memory_format=format)
    arguments = (x, torch.randn(4 * channels), None, row_ptr, indices)
    real = torch.ops.tamis.conv_forward(*arguments, geometry.as_list(), 0)
    with FakeTensorMode() as mode:
        fake = [t if t is None else mode.from_tensor(t) for t in arguments]
        promised = torch.ops.tamis.conv_forward(*fake, geometry.as_list(), 0)
    assert (promised.shape, promised.stride(), promised.dtype) == (real.shape, real.stride(), real.dtype)
