"""Bits that do not depend on layout, threads or the rest of the batch, as docs/architecture.md promises."""

from __future__ import annotations

import pytest
import torch

from kernels.dense_twin import Case
from tamis.kernels import PackedPattern, _native, sparse_conv2d

CASES = {
    "3x3": Case(37, 24, 20, (9, 10)),
    "blocks of channels": Case(33, 300, 20, (4, 4)),
    "strided": Case(20, 12, 10, (11, 13), stride=(2, 3)),
    "linear": Case(50, 300, 70, (1, 1), (1, 1), padding=(0, 0, 0, 0)),
    "grouped": Case(18, 12, 12, (8, 8), groups=3),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def layer(request):
    case = request.param
    pattern = PackedPattern.from_mask(case.mask())
    x, values, bias = case.input(), torch.randn(pattern.nnz), torch.randn(case.outputs)
    grad = torch.randn(case.images, case.outputs, *case.geometry.output_size)

    def run(x=x, grad=grad):
        leaf, live = x.detach().requires_grad_(), values.clone().requires_grad_()
        y = sparse_conv2d(leaf, live, bias, pattern, case.geometry)
        return y.detach(), *torch.autograd.grad(y, (leaf, live), grad)

    run.x, run.grad = x, grad
    return run


def test_forward_and_input_gradient_do_not_depend_on_the_layout_of_panels(layer, each_isa, monkeypatch):
    results = []
    for layout in _native.LAYOUTS.values():
        monkeypatch.setattr(_native, "_layout", layout)
        results.append(layer())
    for y, grad_x, _ in results[1:]:
        assert torch.equal(y, results[0][0])
        assert torch.equal(grad_x, results[0][1])


def test_nothing_depends_on_the_number_of_threads(layer, each_isa, each_layout):
    expected = layer()
    for threads in (2, 3, 8):
        torch.set_num_threads(threads)
        assert torch.get_num_threads() == threads
        for got, one in zip(layer(), expected, strict=True):
            assert torch.equal(got, one)


def test_an_image_does_not_depend_on_its_batch(layer, each_isa, each_layout):
    y, grad_x, _ = layer()
    for part in (slice(0, 1), slice(3, 8), slice(1, 18)):
        part_y, part_grad, _ = layer(layer.x[part], layer.grad[part])
        assert torch.equal(part_y, y[part])
        assert torch.equal(part_grad, grad_x[part])


def test_memory_format_changes_no_bit_of_forward_and_input_gradient(layer, each_isa, each_layout):
    y, grad_x, _ = layer()
    last = torch.channels_last
    other_y, other_grad, _ = layer(layer.x.contiguous(memory_format=last), layer.grad.contiguous(memory_format=last))
    assert torch.equal(other_y, y)
    assert torch.equal(other_grad, grad_x)


def test_the_same_call_twice_gives_the_same_bits(layer, each_isa, each_layout):
    torch.set_num_threads(2)
    for got, first in zip(layer(), layer(), strict=True):
        assert torch.equal(got, first)
