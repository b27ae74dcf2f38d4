"""The native max pool against torch's: values, ties, NaN, gradients, formats."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tamis.kernels import format_of, in_format, max_pool2d

FORMATS = {"NCHW": 0, "batch-last": 1, "channels_last": 2}
POOLS = {
    "3x3 /2": {"kernel_size": 3, "stride": 2, "padding": 1},
    "2x2": {"kernel_size": 2},
    "uneven": {"kernel_size": (3, 2), "stride": (1, 3), "padding": (1, 0)},
    "dilated": {"kernel_size": 2, "stride": 1, "dilation": (2, 3)},
    "ceil": {"kernel_size": 3, "stride": 2, "ceil_mode": True},
}


def compare(x, **options):
    ours, theirs = x.detach().requires_grad_(), x.detach().contiguous().requires_grad_()
    y, wanted = max_pool2d(ours, **options), F.max_pool2d(theirs, **options)
    assert torch.equal(y.isnan(), wanted.isnan())
    assert torch.equal(y.nan_to_num(), wanted.nan_to_num())
    grad = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    (got,) = torch.autograd.grad(y, [ours], in_format(grad, format_of(y) or 0))
    (expected,) = torch.autograd.grad(wanted, [theirs], grad)
    assert torch.allclose(got, expected, rtol=1e-6, atol=1e-6)  # sums of a few numbers, in another order
    return y


@pytest.mark.parametrize("options", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 3, 9, 8), (16, 2, 7, 7), (37, 1, 12, 5)], ids=str)
def test_equals_torch(each_isa, shape, format, options):
    x = in_format(torch.randn(shape, generator=torch.Generator().manual_seed(0)), FORMATS[format])
    y = compare(x, **options)
    assert format_of(y) == format_of(x)


@pytest.mark.parametrize("format", FORMATS)
def test_the_first_of_equal_values_and_nan_win(each_isa, format):
    x = torch.randint(0, 3, (16, 2, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    x[0, 0, 3, 3] = float("nan")
    x[3, 1, 5, 2] = float("-inf")
    compare(in_format(x, FORMATS[format]), kernel_size=3, stride=2, padding=1)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 20), c=st.integers(1, 3), h=st.integers(1, 10), w=st.integers(1, 10), k=st.integers(1, 4),
    stride=st.integers(1, 4), pad=st.integers(0, 2), ceil=st.booleans(), format=st.sampled_from(list(FORMATS)),
)  # fmt: skip
def test_any_geometry(n, c, h, w, k, stride, pad, ceil, format):
    if 2 * pad > k or min(h, w) + 2 * pad < k:
        return
    x = in_format(torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(n * h + w)), FORMATS[format])
    compare(x, kernel_size=k, stride=stride, padding=pad, ceil_mode=ceil)


def test_what_torch_refuses_is_refused():
    with pytest.raises(RuntimeError):
        max_pool2d(torch.ones(1, 1, 4, 4), 2, padding=2)
    with pytest.raises(RuntimeError):
        max_pool2d(torch.ones(1, 1, 1, 1), 3)


def test_other_types_go_through_torch():
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    assert torch.equal(max_pool2d(x, 2), F.max_pool2d(x, 2))
