"""Signed powers, their roots and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.sparsity import signed_power, signed_power_gradient, signed_root, top_k_mask

numbers = st.lists(st.floats(-10.0, 10.0, width=32), min_size=1, max_size=30)


@settings(deadline=None)
@given(values=numbers, upstream=st.floats(-10.0, 10.0, width=32))
def test_exponent_one_is_the_identity_bit_for_bit(values, upstream):
    tensor = torch.tensor(values)
    for image in (signed_power(tensor, 1.0), signed_root(tensor, 1.0)):
        assert torch.equal(image.view(torch.int32), tensor.view(torch.int32))
    gradient = torch.full_like(tensor, upstream)
    assert torch.equal(signed_power_gradient(tensor, 1.0, gradient), gradient)


@settings(deadline=None)
@given(values=st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=30), alpha=st.floats(1.0, 4.0))
def test_the_root_undoes_the_power_and_ranks_stay(values, alpha):
    tensor = torch.tensor(values, dtype=torch.float64)
    tensor[tensor.abs() < 1e-3] = 0.0
    torch.testing.assert_close(signed_root(signed_power(tensor, alpha), alpha), tensor, rtol=1e-12, atol=0.0)
    for k in range(len(values) + 1):
        kept = top_k_mask(signed_power(tensor, alpha).abs(), k)
        smallest_kept = tensor.abs()[kept].min() if k else torch.inf
        largest_gone = tensor.abs()[~kept].max() if k < len(values) else 0.0
        assert float(smallest_kept) >= float(largest_gone) * (1 - 1e-12)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0, 4.0])
def test_the_gradient_is_that_of_autograd(alpha):
    latent = torch.randn(40, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(40, dtype=torch.float64)
    (expected,) = torch.autograd.grad(torch.sign(latent) * latent.abs().pow(alpha), latent, upstream)
    torch.testing.assert_close(signed_power_gradient(latent.detach(), alpha, upstream), expected, rtol=1e-13, atol=0)


def test_zero_has_no_gradient_above_exponent_one():
    assert signed_power_gradient(torch.zeros(1), 2.0, torch.ones(1)).item() == 0.0
