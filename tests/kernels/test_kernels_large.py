"""Counts beyond 2**24 and addresses beyond 2**31."""

from __future__ import annotations

import mmap
import os
import sys

import pytest
import torch

from kernels.dense_twin import Case, check
from tamis.kernels import PackedPattern, sparse_linear


def far_apart(step):
    """Room for two pictures whose first floats lie ``step`` floats apart; only the touched pages of it exist."""
    reserve_nothing = 0x4000 if sys.platform == "linux" else 0
    memory = mmap.mmap(-1, 4 * (step + 4096), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | reserve_nothing)
    return torch.frombuffer(memory, dtype=torch.float32)


@pytest.mark.parametrize("sparsity", [0.5, 0.0])
def test_inputs_and_gradients_that_span_more_than_2_to_the_31_floats(sparsity, each_isa, each_layout):
    step = 2**31 + 12345
    case = Case(2, 3, 4, (6, 5), sparsity=sparsity)
    x = far_apart(step).as_strided((2, 3, 6, 5), (step, 30, 5, 1))
    grad = far_apart(step).as_strided((2, 4, 6, 5), (step, 30, 5, 1))
    x.copy_(torch.randn(2, 3, 6, 5))
    grad.copy_(torch.randn(2, 4, 6, 5))
    check(case, x, grad=grad)


def test_channels_that_lie_more_than_2_to_the_31_floats_apart(each_isa, each_layout):
    step = 2**31 + 12345
    x = far_apart(step).as_strided((20, 2, 4, 5), (20, step, 5, 1))
    x.copy_(torch.randn(20, 2, 4, 5))
    check(Case(20, 2, 3, (4, 5)), x)


def test_more_than_2_to_the_24_live_weights():
    size = 4100
    pattern = PackedPattern.from_mask(torch.ones(size, size, dtype=torch.bool))
    assert pattern.nnz > 2**24
    values = torch.full((pattern.nnz,), 0.5, requires_grad=True)
    with torch.no_grad():
        values[-1] = 3.0  # the one weight that a counter of 24 bits would lose
    x = torch.ones(2, size, requires_grad=True)
    y = sparse_linear(x, values, None, pattern)
    assert torch.equal(y[:, :-1], torch.full((2, size - 1), size / 2))
    assert torch.equal(y[:, -1], torch.full((2,), size / 2 + 2.5))
    y.backward(torch.ones(2, size))
    assert torch.equal(values.grad, torch.full((pattern.nnz,), 2.0))
    assert torch.equal(x.grad[:, -1], torch.full((2,), size / 2 + 2.5))


@pytest.mark.slow
def test_a_result_of_more_than_2_to_the_31_floats():
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 12e9:
        pytest.skip("12 GB of free memory are not available")
    rows, outputs = 2**19 + 8, 4096
    pattern = PackedPattern.from_mask(torch.eye(outputs, 4, dtype=torch.bool).roll(outputs - 4, 0))
    y = sparse_linear(torch.randn(1, 4).expand(rows, 4), torch.ones(4), None, pattern)
    assert y.numel() > 2**31
    x = y[0, -4:].clone()
    for row in (0, 1, 2**18, rows - 2, rows - 1):
        assert torch.equal(y[row, -4:], x)
        assert int(y[row, :-4].count_nonzero()) == 0
