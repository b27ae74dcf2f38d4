"""The other two shapes of the same kernel."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from kernels.dense_twin import ROUNDING, assert_close
from tamis.errors import UsageError
from tamis.kernels import ConvGeometry, PackedPattern, sparse_conv1d, sparse_conv2d, sparse_linear


def linear_case(inputs, outputs, x, sparsity=0.8):
    mask = torch.rand(outputs, inputs) >= sparsity
    pattern, weight, bias = PackedPattern.from_mask(mask), torch.randn(outputs, inputs) * mask, torch.randn(outputs)
    values = pattern.pack(weight).requires_grad_()
    x = x.detach().requires_grad_()
    y = sparse_linear(x, values, bias, pattern)
    grad = torch.randn_like(y)
    grad_x, grad_values = torch.autograd.grad(y, (x, values), grad)
    flat, flat_grad = x.detach().double().reshape(-1, inputs), grad.double().reshape(-1, outputs)
    wd = weight.double()
    assert_close(y.detach(), F.linear(x.detach().double(), wd, bias.double()),
                 F.linear(x.detach().double().abs(), wd.abs(), bias.double().abs()), "y")  # fmt: skip
    assert_close(grad_x, (grad.double() @ wd), grad.double().abs() @ wd.abs(), "grad_x")
    expected, size = flat_grad.T @ flat, flat_grad.abs().T @ flat.abs()
    assert_close(grad_values, pattern.pack(expected), pattern.pack(size), "grad_values")
    return y


@pytest.mark.parametrize("shape", [(1, 37), (64, 37), (5, 3, 37), (37,), (0, 37), (2, 0, 37), (300, 37)], ids=str)
def test_linear_equals_the_dense_twin(shape, each_isa, each_layout):
    assert linear_case(37, 53, torch.randn(shape)).shape == (*shape[:-1], 53)


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_linear_with_all_or_no_weights_alive(sparsity, each_isa, each_layout):
    linear_case(70, 33, torch.randn(20, 70), sparsity)


def test_linear_on_transposed_offset_and_expanded_inputs(each_isa, each_layout):
    linear_case(24, 9, torch.randn(24, 31).T)
    linear_case(24, 9, torch.randn(33, 50)[2:, 1:49:2])
    linear_case(24, 9, torch.randn(1, 24).expand(20, 24))
    linear_case(24, 9, torch.randn(6, 24, 4).transpose(1, 2))


def test_a_sum_as_loss_gives_expanded_gradients():
    pattern = PackedPattern.from_mask(torch.rand(6, 9) > 0.5)
    values = torch.randn(pattern.nnz, requires_grad=True)
    x = torch.randn(4, 9, requires_grad=True)
    sparse_linear(x, values, None, pattern).sum().backward()
    weight = pattern.unpack(values.detach())
    torch.testing.assert_close(x.grad, weight.sum(0).expand(4, 9), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(values.grad, pattern.pack(x.detach().sum(0).expand(6, 9)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 8), (4, 10), (9,), ()], ids=str)
def test_a_wrong_feature_count_is_one_clear_error(shape):
    pattern = PackedPattern.from_mask(torch.rand(6, 9) > 0.5)
    if shape == (9,):
        shape = (9, 1)
    with pytest.raises(UsageError, match=r"expected \(\.\.\., 9\) features"):
        sparse_linear(torch.randn(shape), torch.randn(pattern.nnz), None, pattern)


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"),
                         [(1, 1, 1, 1), (2, 3, 1, 2), (3, 0, 2, 1), (1, 4, 2, 4)])  # fmt: skip
def test_conv1d_equals_the_dense_twin(stride, padding, dilation, groups, each_isa, each_layout):
    mask = torch.rand(8, 4 // groups, 3) > 0.4
    pattern, weight = PackedPattern.from_mask(mask), torch.randn(8, 4 // groups, 3) * mask
    x, values = torch.randn(17, 4, 23, requires_grad=True), pattern.pack(weight).requires_grad_()
    geometry = ConvGeometry((1, 23), (1, 3), (1, stride), (0, 0, padding, padding), (1, dilation), groups)
    y = sparse_conv1d(x, values, None, pattern, geometry)
    xd, wd = x.detach().double().requires_grad_(), weight.double().requires_grad_()
    yd = F.conv1d(xd, wd, None, stride, padding, dilation, groups)
    grad = torch.randn_like(y)
    y.backward(grad)
    yd.backward(grad.double())
    assert y.shape == yd.shape
    for got, expected in ((y, yd), (x.grad, xd.grad), (values.grad, pattern.pack(wd.grad))):
        assert float((got.detach().double() - expected.detach()).abs().max()) <= 10 * ROUNDING


def test_shapes_that_do_not_fit_are_refused():
    pattern = PackedPattern.from_mask(torch.rand(6, 4, 3, 1) > 0.5)
    values, x = torch.randn(pattern.nnz), torch.randn(2, 4, 8, 8)

    def conv(x=x, values=values, bias=None, **options):
        given = {"size": (8, 8), "kernel": (3, 1), **options}
        return sparse_conv2d(x, values, bias, pattern, ConvGeometry(**given))

    assert conv().shape == (2, 6, 6, 8)
    with pytest.raises(UsageError, match=r"expected \(N, 4, H, W\)"):
        conv(torch.randn(2, 5, 8, 8))
    with pytest.raises(UsageError, match="expected \\(N, 4, H, W\\)"):
        conv(torch.randn(4, 8, 8))
    with pytest.raises(UsageError, match="geometry is for"):
        conv(size=(7, 8))
    with pytest.raises(UsageError, match="does not fit a kernel"):
        conv(kernel=(1, 3))
    with pytest.raises(UsageError, match="does not fit a kernel"):
        sparse_conv2d(torch.randn(2, 16, 8, 8), values, None, pattern, ConvGeometry((8, 8), (3, 1), groups=4))
    with pytest.raises(UsageError, match="packed values"):
        conv(values=values[:-1])
    with pytest.raises(UsageError, match="expected a bias"):
        conv(bias=torch.randn(5))
    with pytest.raises(UsageError, match=r"the bias is torch\.float64"):
        conv(bias=torch.randn(6).double())
    with pytest.raises(UsageError, match=r"input is torch\.float64"):
        conv(x.double())
    with pytest.raises(UsageError, match="expected \\(N, C, L\\)"):
        sparse_conv1d(x, values, None, pattern, ConvGeometry((8, 8), (3, 1)))


@pytest.mark.parametrize(
    "wrong",
    [{"stride": (0, 1)}, {"dilation": (1, 0)}, {"padding": (0, -1, 0, 0)}, {"groups": 0}, {"kernel": (0, 3)},
     {"kernel": (9, 1)}, {"size": (0, 5)}, {"size": (5, 0)}],
    ids=str,
)  # fmt: skip
def test_impossible_geometries_are_refused(wrong):
    with pytest.raises(UsageError):
        ConvGeometry(**{"size": (8, 8), "kernel": (3, 3), **wrong})
