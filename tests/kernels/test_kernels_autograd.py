"""What autograd may rely on: saved tensors, skipped work, dtypes, errors."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from kernels.dense_twin import Case, NativeCalls
from tamis.errors import UsageError
from tamis.kernels import InnerPattern, PackedPattern, choices, live_linear, reference, sparse_conv2d, sparse_linear

CASE = Case(4, 6, 5, (7, 6), stride=(2, 1))


def parts(case=CASE, **wanted):
    pattern = PackedPattern.from_mask(case.mask())
    x, values, bias = case.input(), torch.randn(pattern.nnz), torch.randn(case.outputs)
    x.requires_grad_(wanted.get("x", True))
    values.requires_grad_(wanted.get("values", True))
    bias.requires_grad_(wanted.get("bias", True))
    return x, values, bias, pattern


def ops_of_backward(**wanted):
    x, values, bias, pattern = parts(**wanted)
    y = sparse_conv2d(x, values, bias, pattern, CASE.geometry)
    with NativeCalls() as calls:
        y.sum().backward()
    assert (x.grad is not None, values.grad is not None, bias.grad is not None) == tuple(
        wanted.get(name, True) for name in ("x", "values", "bias")
    )
    return calls.names


def test_backward_does_only_what_somebody_needs():
    assert ops_of_backward() == ["transpose_pattern", "conv_gradients"]
    assert ops_of_backward(x=False) == ["conv_grad_values"], "the first layer needs no gradient of its input"
    assert ops_of_backward(values=False) == ["transpose_pattern", "conv_grad_input"], "frozen weights need none"
    assert ops_of_backward(x=False, values=False) == []


def test_the_transposed_pattern_is_built_once():
    x, values, bias, pattern = parts()
    with NativeCalls() as calls:
        for _ in range(3):
            sparse_conv2d(x, values, bias, pattern, CASE.geometry).sum().backward()
    assert calls.names.count("transpose_pattern") == 1
    assert calls.names.count("conv_gradients") == 3


def kept(**wanted):
    saved = []
    x, values, bias, pattern = parts(**wanted)

    def pack(tensor):
        saved.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sparse_conv2d(x, values, bias, pattern, CASE.geometry)
    return x.data_ptr() in saved, values.data_ptr() in saved


def test_only_needed_tensors_are_kept_for_backward():
    assert kept() == (True, True)
    assert kept(values=False) == (False, True), "frozen weights need no input"
    assert kept(x=False) == (True, False), "a first layer needs no weight"
    with torch.no_grad():
        assert kept() == (False, False)


@pytest.mark.parametrize("changed", ["x", "values"])
def test_autograd_notices_an_in_place_change_of_what_it_saved(changed):
    x, values, bias, pattern = parts()
    y = sparse_conv2d(x, values, bias, pattern, CASE.geometry)
    with torch.no_grad():
        {"x": x, "values": values}[changed].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_autograd_notices_an_in_place_change_of_a_linear_input():
    pattern = PackedPattern.from_mask(torch.rand(5, 6) > 0.5)
    x = torch.randn(2, 3, 6)
    y = sparse_linear(x, torch.randn(pattern.nnz, requires_grad=True), None, pattern)
    x.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_second_derivative_is_one_clear_error():
    x, values, bias, pattern = parts()
    y = sparse_conv2d(x, values, bias, pattern, CASE.geometry)
    (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


def test_gradients_of_the_reference_path_pass_gradcheck():
    case = Case(2, 4, 4, (5, 6), (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2, 0.5)
    pattern = PackedPattern.from_mask(case.mask())
    inputs = (
        torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True),
        torch.randn(pattern.nnz, dtype=torch.float64, requires_grad=True),
        torch.randn(4, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(lambda *t: sparse_conv2d(*t, pattern, case.geometry), inputs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_take_the_reference_path(dtype):
    x, values, bias, pattern = (t.detach().to(dtype) if isinstance(t, torch.Tensor) else t for t in parts())
    with NativeCalls() as calls:
        y = sparse_conv2d(x, values, bias, pattern, CASE.geometry)
    assert calls.names == []
    assert y.dtype == dtype
    torch.testing.assert_close(y, reference.conv2d(x, values, bias, pattern, CASE.geometry), rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["sparse", "dense", "reference"])
def test_autocast_computes_and_returns_float32_on_every_path(mode, monkeypatch):
    from tamis.kernels import _native

    if mode == "reference":
        monkeypatch.setattr(_native, "why_not", "test")
    else:
        choices.mode = mode
    x, values, bias, pattern = parts()
    with torch.autocast("cpu", torch.bfloat16):
        y = sparse_conv2d(x.bfloat16(), values, bias, pattern, CASE.geometry)
        y.sum().backward()
    exact = sparse_conv2d(x.detach().bfloat16().float(), values.detach(), bias.detach(), pattern, CASE.geometry)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.detach(), exact, rtol=1e-5, atol=1e-5)
    assert x.grad.dtype == values.grad.dtype == torch.float32


@pytest.mark.parametrize("layer", ["plain", "nested", "live"])
@pytest.mark.parametrize("mode", ["sparse", "dense"])
def test_a_backward_pass_under_autocast_computes_in_float32(layer, mode):
    choices.mode = mode
    pattern = PackedPattern.from_mask(torch.rand(32, 48) < 0.3)
    inner = InnerPattern.from_mask(pattern, pattern.mask() & (torch.rand(32, 48) < 0.5)) if layer == "nested" else None
    x = torch.randn(8, 48, requires_grad=True)
    weight = pattern.unpack(torch.randn(pattern.nnz)) if layer == "live" else torch.randn(pattern.nnz)
    weight.requires_grad_()

    def run():
        if layer == "live":
            return live_linear(x, weight, None, pattern)
        return sparse_linear(x, weight, None, pattern, inner)

    wanted = torch.autograd.grad(run().square().sum(), (x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        got = torch.autograd.grad(run().square().sum(), (x, weight))
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_mixed_dtypes_outside_autocast_are_refused():
    x, values, bias, pattern = parts()
    with pytest.raises(UsageError, match=r"bfloat16.*float32"):
        sparse_conv2d(x.bfloat16(), values, bias, pattern, CASE.geometry)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_gives_the_same_gradients(reentrant):
    x, values, bias, pattern = parts()
    sparse_conv2d(x, values, bias, pattern, CASE.geometry).square().sum().backward()
    plain, x.grad, values.grad = (x.grad, values.grad), None, None
    y = checkpoint(sparse_conv2d, x, values, bias, pattern, CASE.geometry, use_reentrant=reentrant)
    y.square().sum().backward()
    assert torch.equal(x.grad, plain[0])
    assert torch.equal(values.grad, plain[1])


def test_negated_and_non_contiguous_operands_are_read_as_they_mean():
    pattern = PackedPattern.from_mask(torch.rand(5, 6) > 0.5)
    z = torch.randn(3, 6, dtype=torch.complex64)
    x, values = z.conj().imag, torch.randn(2 * pattern.nnz)[::2]
    assert x.is_neg()
    assert not values.is_contiguous()
    bias = torch.randn(1).expand(5)
    y = sparse_linear(x, values, bias, pattern)
    torch.testing.assert_close(y, -z.imag @ pattern.unpack(values).T + bias, rtol=1e-6, atol=1e-6)


def test_not_finite_inputs_reach_exactly_the_outputs_that_read_them(each_isa, each_layout):
    case = Case(17, 3, 4, (6, 9), sparsity=0.0)
    x = case.input()
    x[3, 1, 2, 4] = float("nan")
    y = sparse_conv2d(x, torch.randn(4 * 3 * 9), None, PackedPattern.from_mask(case.mask()), case.geometry)
    reads = torch.zeros(17, 4, 6, 9, dtype=torch.bool)
    reads[3, :, 1:4, 3:6] = True
    assert torch.equal(y.isnan(), reads)
