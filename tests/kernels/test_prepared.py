"""A convolution prepared for one shape: what it computes, what it refuses, and what it notices."""

from __future__ import annotations

import pytest
import torch

from kernels.dense_twin import NativeCalls
from tamis.errors import UsageError
from tamis.kernels import (
    ConvGeometry,
    PackedPattern,
    PreparedConv2d,
    choices,
    isa,
    reference,
    set_isa,
    sparse_conv2d_inference,
    to_batch_last,
)
from tamis.kernels.choose import Choices, Direction

PATTERN = PackedPattern.from_mask(torch.rand(24, 20, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.2)
GEOMETRY = ConvGeometry((9, 8), (3, 3), (1, 1), (1, 1, 1, 1))


def pieces(batch=2):
    torch.manual_seed(0)
    return torch.randn(batch, 20, 9, 8), torch.randn(PATTERN.nnz), torch.randn(24)


def wanted(x, values, bias, residual=None, relu=False):
    weight = PATTERN.unpack(values.double())
    y = torch.nn.functional.conv2d(x.double(), weight, bias.double(), padding=1)
    y = y if residual is None else y + residual.double()
    return y.relu() if relu else y


@pytest.mark.parametrize("mode", ["sparse", "dense", "measure"])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("format", ["NCHW", "channels_last", "batch-last"])
@pytest.mark.parametrize("residual_type", [None, torch.float32, torch.float64])
def test_calls_equal_float64(each_isa, mode, relu, format, residual_type, monkeypatch):
    monkeypatch.setattr(choices, "mode", mode)
    x, values, bias = pieces(batch=16)
    residual = None if residual_type is None else torch.randn(16, 24, 9, 8, dtype=residual_type)
    given = {
        "NCHW": x,
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "batch-last": to_batch_last(x),
    }
    conv = PreparedConv2d(given[format], values, bias, PATTERN, GEOMETRY)
    expected = wanted(x, values, bias, residual, relu)
    for _ in range(3):
        assert torch.allclose(conv(given[format], residual, relu).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["sparse", "dense", "measure"])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_under_autocast_it_computes_float32_and_times_float32(mode, given, monkeypatch):
    own, seen = Choices(mode), []
    monkeypatch.setattr("tamis.kernels._prepared.choices", own)
    dense = reference.conv2d
    monkeypatch.setattr(reference, "conv2d", lambda *args: seen.append(dense(*args)) or seen[-1])
    x, values, bias = pieces()
    x = x.to(given)
    with torch.autocast("cpu", torch.bfloat16):
        y = sparse_conv2d_inference(x, values, bias, PATTERN, GEOMETRY)
    assert y.dtype == torch.float32
    assert torch.allclose(y.double(), wanted(x, values, bias), rtol=1e-5, atol=1e-5)
    assert all(side.dtype == torch.float32 for side in seen)
    assert bool(seen) == (mode != "sparse")


def test_what_does_not_fit_is_refused_when_it_is_made():
    x, values, bias = pieces()
    with pytest.raises(UsageError, match=r"geometry is for \(9, 8\) pixels, the input has \(8, 8\)"):
        PreparedConv2d(x[:, :, 1:], values, bias, PATTERN, GEOMETRY)
    with pytest.raises(UsageError, match=f"expected {PATTERN.nnz} packed values"):
        PreparedConv2d(x, values[1:], bias, PATTERN, GEOMETRY)
    with pytest.raises(UsageError, match=r"input is torch\.float64 but the packed weight is torch\.float32"):
        PreparedConv2d(x.double(), values, bias, PATTERN, GEOMETRY)
    with pytest.raises(UsageError, match=r"the residual has shape \(2, 24, 9, 7\), the result \(2, 24, 9, 8\)"):
        PreparedConv2d(x, values, bias, PATTERN, GEOMETRY)(x, torch.zeros(2, 24, 9, 7))


def test_the_values_are_those_of_the_call():
    x, values, bias = pieces()
    conv = PreparedConv2d(x, values, bias, PATTERN, GEOMETRY)
    conv(x)
    values.mul_(2), bias.add_(1)
    assert torch.allclose(conv(x).double(), wanted(x, values, bias), rtol=1e-5, atol=1e-5)


def test_it_follows_mode_threads_and_instruction_set():
    x, values, bias = pieces()
    conv = PreparedConv2d(x, values, bias, PATTERN, GEOMETRY)
    conv(x)
    for change in (
        lambda: setattr(choices, "mode", "dense"),
        lambda: setattr(choices, "mode", "sparse"),
        lambda: torch.set_num_threads(2),
    ):
        change()
        with NativeCalls() as calls:
            conv(x)
        assert calls.names == ([] if choices.mode == "dense" else ["conv_forward"])
    before = isa()
    set_isa("baseline")
    try:
        assert torch.allclose(conv(x).double(), wanted(x, values, bias), rtol=1e-5, atol=1e-5)
    finally:
        set_isa(before)


@pytest.mark.parametrize("change", ["cleared", "loaded"])
def test_it_asks_again_when_decisions_were_forgotten_or_replaced(change, monkeypatch):
    own = Choices("measure")
    monkeypatch.setattr("tamis.kernels._prepared.choices", own)
    x, values, bias = pieces()
    conv = PreparedConv2d(x, values, bias, PATTERN, GEOMETRY)
    conv(x), conv(x)
    [row] = own.table()
    other = "dense" if row["use"] == "sparse" else "sparse"
    if change == "cleared":
        own.clear()
        conv(x)
        assert [again["key"] for again in own.table()] == [row["key"]]
        return
    state = own.state_dict()
    state["entries"][f"{row['key']}/{Direction.FORWARD.value}"]["use"] = other
    own.load_state_dict(state)
    for _ in range(2):
        with NativeCalls() as calls:
            conv(x)
        assert calls.names == (["conv_forward"] if other == "sparse" else [])
