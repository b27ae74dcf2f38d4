"""Equal rows are merged once, in an order of their own, natively and with NumPy alike."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels import native_available
from tamis.sources._merging import _multipliers, merge_natively, merge_with_numpy

needs_native = pytest.mark.skipif(not native_available(), reason="needs the native extension")
SOLVERS = [merge_with_numpy, pytest.param(merge_natively, marks=needs_native)]
solver = pytest.mark.parametrize("merge", SOLVERS)

PICTURE = np.array([[1.0, 5.0], [2.0, 5.0], [1.0, 5.0], [1.0, 5.0]])
CELLS = np.array([0, 3, 0, 2])


@solver
def test_a_small_picture_is_merged_and_centred(merge):
    rows, counts, statistics = merge(PICTURE, CELLS)
    order = np.argsort(rows[:, 0])
    assert rows[order].tolist() == [[-0.25, 0.0], [0.75, 0.0]]  # the constant column is exactly zero
    assert counts[order].tolist() == [[2, 0, 1, 0], [0, 0, 0, 1]]
    assert statistics.tolist() == [[1.25, 5.0], [0.0, 0.0], [0.1875, 0.0]]


@solver
def test_a_negative_zero_is_a_zero(merge):
    rows, counts, _ = merge(np.array([[0.0, 1.0], [-0.0, 1.0]]), np.array([1, 1]))
    assert len(rows) == 1
    assert counts.tolist() == [[0, 2, 0, 0]]
    assert not np.signbit(rows).any()


@solver
def test_the_order_of_the_rows_changes_no_bit(merge):
    draw = np.random.default_rng(0)
    X, cells = draw.integers(0, 4, (300, 3)) / 7, draw.integers(0, 4, 300)
    order = draw.permutation(300)
    for one, two in zip(merge(X, cells), merge(X[order], cells[order]), strict=True):
        assert np.array_equal(one, two)


@solver
def test_rows_that_share_a_hash_stay_apart(merge):
    # Two bit patterns x, x' of one column and y, y' of the other with x m0 + y m1 = x' m0 + y' m1 modulo 2^64: the
    # differences are chosen as multiples of the other column's multiplier, in numbers whose high half is zero.
    m0, m1 = (int(m) for m in _multipliers(2))
    inverse = pow(m1, -1, 2**64)
    found = None
    for high in range(1, 200_000):  # x' = high << 32 | low with zero low bits mixes to (high << 32) | high
        mixed = (high << 32) | high
        wanted = (-mixed * m0 * inverse) % 2**64
        top = wanted >> 32
        bits = (top << 32) | ((wanted & 0xFFFFFFFF) ^ top)
        if (bits >> 52) & 0x7FF != 0x7FF and (high >> 20) & 0x7FF != 0x7FF and bits:
            found = np.array([[0, 0], [high << 32, bits]], dtype=np.uint64).view(np.float64)
            if abs(found[1, 1]) < 1e100:
                break
    assert found is not None
    rows, counts, _ = merge(np.concatenate([found, found[:1]]), np.array([0, 1, 0]))
    assert sorted(counts.tolist()) == [[0, 1, 0, 0], [2, 0, 0, 0]]
    assert len(rows) == 2


@needs_native
@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 12), st.sampled_from([1, 3, 1000]), st.integers(0, 2**32 - 1), st.booleans())
def test_native_merging_equals_numpy(n, d, levels, seed, far):
    draw = np.random.default_rng(seed)
    X = draw.integers(0, levels, (n, d)) * 0.1 + (1e9 if far else 0)
    cells = draw.integers(0, 4, n)
    native, reference = merge_natively(X, cells), merge_with_numpy(X, cells)
    assert np.array_equal(native.counts, reference.counts)
    scale = np.maximum(np.abs(X).max(), 1) * 1e-14
    assert native.rows == pytest.approx(reference.rows, abs=scale)
    assert native.statistics[0] == pytest.approx(reference.statistics[0], abs=scale)
    assert native.statistics[2] == pytest.approx(reference.statistics[2], rel=1e-9, abs=scale)
    constant = (X[0] == X).all(axis=0)
    assert (native.statistics[2][constant] == 0).all()
    assert (native.rows[:, constant] == 0).all()


@needs_native
def test_too_large_numbers_give_a_variance_that_is_not_finite():
    X = np.array([[1e200], [-1e200]])
    with np.errstate(over="ignore"):
        for merge in (merge_natively, merge_with_numpy):
            assert not np.isfinite(merge(X, np.array([0, 1])).statistics[2]).all()


@needs_native
@pytest.mark.parametrize(
    "changed",
    [
        {"x": torch.zeros(0, 2, dtype=torch.float64), "cells": torch.zeros(0, dtype=torch.int64)},
        {"x": torch.zeros(3, 2)},
        {"x": torch.zeros(2, 3, dtype=torch.float64).T},
        {"cells": torch.tensor([0, 4, 0])},
        {"cells": torch.tensor([0, -1, 0])},
        {"cells": torch.tensor([0, 1])},
        {"multipliers": torch.tensor([1])},
    ],
)
def test_malformed_tensors_are_refused(changed):
    good = {
        "x": torch.zeros(3, 2, dtype=torch.float64),
        "cells": torch.tensor([0, 1, 2]),
        "multipliers": torch.tensor([1, 3]),
    }
    assert len(torch.ops.tamis.merge_rows(**good)[0]) == 1
    with pytest.raises(RuntimeError, match="tamis:"):
        torch.ops.tamis.merge_rows(**{**good, **changed})
