"""Two patterns in a layer: result and gradient of the input by the inner, gradient of the weights by the outer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels.dense_twin import Case, NativeCalls, assert_close, dense
from tamis.errors import UsageError
from tamis.kernels import (
    ConvGeometry,
    InnerPattern,
    PackedPattern,
    _native,
    choices,
    reference,
    sparse_conv1d,
    sparse_conv2d,
    sparse_linear,
)

CASES = {
    "same": Case(3, 8, 12, (7, 6)),
    "strided": Case(4, 6, 10, (9, 8), stride=(2, 2)),
    "uneven": Case(2, 6, 9, (8, 11), kernel=(3, 2), stride=(1, 3), padding=(2, 1, 0, 2), dilation=(1, 2)),
    "grouped": Case(3, 8, 12, (6, 6), groups=4, stride=(2, 1)),
    "depthwise": Case(2, 6, 6, (7, 7), groups=6),
    "pointwise": Case(5, 16, 12, (5, 5), kernel=(1, 1), padding=(0, 0, 0, 0)),
    "many images": Case(32, 8, 8, (5, 4)),
}


def two_masks(shape) -> tuple[Tensor, Tensor]:
    """A of about a fifth, B of about two fifths of the weights; A inside B."""
    score = torch.rand(shape)
    return score > 0.8, score > 0.6


def nested(shape):
    forward, gradient = two_masks(shape)
    outer = PackedPattern.from_mask(gradient)
    return forward, gradient, outer, InnerPattern.from_mask(outer, forward)


def check(case: Case) -> None:
    """Result and all gradients against a dense float64 twin with the weight A."""
    forward, _, outer, inner = nested(case.weight_shape)
    weight, bias, x = torch.randn(case.weight_shape), torch.randn(case.outputs), case.input().requires_grad_()
    values, own_bias = outer.pack(weight).requires_grad_(), bias.clone().requires_grad_()
    y = sparse_conv2d(x, values, own_bias, outer, case.geometry, inner)
    grad = torch.randn_like(y)
    got = (y.detach(), *torch.autograd.grad(y, (x, values, own_bias), grad))

    def twin(*tensors: Tensor) -> tuple[Tensor, ...]:
        xd, wd, bd, gd = (t.detach().double().clone().requires_grad_() for t in tensors)
        yd = dense(case, xd, wd, bd)
        return (yd.detach(), *torch.autograd.grad(yd, (xd, wd, bd), gd.detach()))

    seen = weight * forward
    expected, size = twin(x, seen, bias, grad), twin(x.abs(), seen.abs(), bias.abs(), grad.abs())
    for i, name in enumerate(("y", "grad_x", "grad_values", "grad_bias")):
        pick = outer.pack if name == "grad_values" else lambda t: t
        assert_close(got[i], pick(expected[i]), pick(size[i]), name)
    assert int(got[2].count_nonzero()) > inner.pattern.nnz  # weights outside A have gradients too


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_native_convolutions_with_two_patterns_equal_the_dense_twin(case, each_isa, each_layout):
    with NativeCalls() as calls:
        check(case)
    assert {"conv_forward", "conv_grad_input", "conv_grad_values"} <= set(calls.names)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_plain_torch_convolutions_with_two_patterns_equal_the_dense_twin(case, monkeypatch):
    monkeypatch.setattr(_native, "serves", lambda *args: False)
    with NativeCalls() as calls:
        check(case)
    assert calls.names == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_dense_side_of_the_measured_choice_means_the_same(case):
    choices.mode = "dense"
    with NativeCalls() as calls:
        check(case)
    assert not {"conv_forward", "conv_grad_input", "conv_grad_values"} & set(calls.names)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("shape", [(5, 20), (2, 3, 20), (20,)], ids=str)
def test_linear_layers_with_two_patterns_equal_torch(shape, native, monkeypatch):
    if not native:
        monkeypatch.setattr(_native, "serves", lambda *args: False)
    forward, _, outer, inner = nested((7, 20))
    weight, bias, x = torch.randn(7, 20), torch.randn(7), torch.randn(shape, requires_grad=True)
    values = outer.pack(weight).requires_grad_()
    y = sparse_linear(x, values, bias, outer, inner)
    grad = torch.randn_like(y)
    grad_x, grad_values = torch.autograd.grad(y, (x, values), grad)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, weight * forward, bias), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad_x, grad @ (weight * forward), rtol=1e-5, atol=1e-5)
    expected = grad.reshape(-1, 7).T @ x.reshape(-1, 20)
    torch.testing.assert_close(grad_values, outer.pack(expected), rtol=1e-5, atol=1e-5)


def test_one_dimensional_convolutions_with_two_patterns_equal_torch():
    forward, _, outer, inner = nested((6, 4, 3))
    weight, x = torch.randn(6, 4, 3), torch.randn(3, 4, 11, requires_grad=True)
    values = outer.pack(weight).requires_grad_()
    geometry = ConvGeometry((1, 11), (1, 3), (1, 2), (0, 0, 1, 1))
    y = sparse_conv1d(x, values, None, outer, geometry, inner)
    y.square().sum().backward()
    seen, twin = (weight * forward).requires_grad_(), x.detach().clone().requires_grad_()
    expected = torch.nn.functional.conv1d(twin, seen, None, 2, 1)
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(values.grad, outer.pack(seen.grad), rtol=1e-5, atol=1e-4)


def test_an_inner_pattern_that_is_everything_changes_no_bit():
    case = CASES["strided"]
    pattern = PackedPattern.from_mask(case.mask())
    inner = InnerPattern.from_mask(pattern, pattern.mask())
    x, values = case.input().requires_grad_(), torch.randn(pattern.nnz, requires_grad=True)
    results = []
    for within in (None, inner):
        y = sparse_conv2d(x, values, None, pattern, case.geometry, within)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, values))))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_backward_does_only_what_somebody_needs():
    case = CASES["same"]
    _, _, outer, inner = nested(case.weight_shape)
    for x_needed, values_needed in ((True, False), (False, True)):
        x = case.input().requires_grad_(x_needed)
        values = torch.randn(outer.nnz, requires_grad=values_needed)
        y = sparse_conv2d(x, values, None, outer, case.geometry, inner)
        with NativeCalls() as calls:
            y.sum().backward()
        assert ("conv_grad_input" in calls.names) == x_needed
        assert ("conv_grad_values" in calls.names) == values_needed


def test_positions_in_a_small_picture():
    outer = PackedPattern.from_mask(torch.tensor([[True, True, False, True], [False, True, True, False]]))
    inner = InnerPattern.from_mask(outer, torch.tensor([[True, False, False, True], [False, False, True, False]]))
    assert inner.positions.tolist() == [0, 2, 4]
    assert inner.take(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).tolist() == [1.0, 3.0, 5.0]
    assert inner.among(outer).tolist() == [True, False, True, False, True]
    weight = reference.forward_weight(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), outer, inner)
    assert weight.tolist() == [[1.0, 0.0, 0.0, 3.0], [0.0, 0.0, 5.0, 0.0]]


@pytest.mark.parametrize("flat", [[0, 1], [7], [0, 2, 6]])
def test_an_inner_pattern_outside_the_outer_one_is_refused(flat):
    outer = torch.tensor([[True, True, False, True], [False, True, True, False]])
    mask = torch.zeros(2, 4, dtype=torch.bool)
    mask.view(-1)[flat] = True
    strays = int((mask & ~outer).sum())
    if not strays:
        assert InnerPattern.from_mask(PackedPattern.from_mask(outer), mask).pattern.nnz == len(flat)
        return
    with pytest.raises(UsageError, match=f"has {strays} weights outside the gradient mask"):
        InnerPattern.from_mask(PackedPattern.from_mask(outer), mask)


def test_patterns_of_two_shapes_are_refused():
    outer = PackedPattern.from_mask(torch.ones(2, 4) > 0)
    with pytest.raises(UsageError, match="inside a pattern of shape"):
        InnerPattern.from_mask(outer, torch.ones(4, 2) > 0)
    inner = InnerPattern.from_mask(PackedPattern.from_mask(torch.ones(4, 4) > 0), torch.ones(4, 4) > 0)
    with pytest.raises(UsageError, match="the inner pattern has shape"):
        sparse_linear(torch.ones(1, 4), torch.ones(8), None, outer, inner)
