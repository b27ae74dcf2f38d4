"""Changing the memory format of images."""

from __future__ import annotations

import pytest
import torch

from tamis.kernels import format_of, in_format

FORMATS = [0, 1, 2]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (16, 3, 7, 7), (33, 17, 5, 6), (64, 2, 40, 41), (1, 4, 3, 3)], ids=str)
@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("given", FORMATS)
def test_values_stay_and_the_gradient_passes(each_isa, given, wanted, shape):
    values = torch.randn(shape)
    x = in_format(values, given)
    assert torch.equal(x, values)
    leaf = x.detach().requires_grad_()
    y = in_format(leaf, wanted)
    assert format_of(y) == format_of(in_format(torch.empty(shape), wanted))
    assert torch.equal(y, values)
    grad = torch.randn(shape)
    assert (
        torch.equal(torch.autograd.grad(y, [leaf], grad)[0], grad) if y is not leaf else given == wanted or 1 in shape
    )


def test_a_tensor_that_has_the_format_is_not_copied():
    x = torch.randn(4, 3, 2, 2)
    assert in_format(x, 0) is x
    y = in_format(x, 1)
    assert in_format(y, 1) is y


def test_gaps_other_types_and_empty_tensors():
    x = torch.randn(32, 6, 4, 4)[:, ::2]
    for wanted in FORMATS:
        assert torch.equal(in_format(x, wanted), x)
        assert torch.equal(in_format(x.double(), wanted), x.double())
    assert in_format(torch.empty(0, 3, 2, 2), 1).shape == (0, 3, 2, 2)
