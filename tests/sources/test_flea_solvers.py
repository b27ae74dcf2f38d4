"""The solvers against independent ones, native against NumPy, and what may not change a bit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, rosen, rosen_der
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tamis.kernels import available_isas, isa, native_available, set_isa
from tamis.sources import load_tabular, split_sources
from tamis.sources._bfgs import bfgs
from tamis.sources._compare import compare, estimate_with_numpy
from tamis.sources._native import estimate_natively
from tamis.sources._newton import Point
from tamis.sources._packing import pack_source
from tamis.sources._pair import Wanted
from tamis.sources._tiles import compare_in_tiles

from .flea_vectors import Rows, all_pairs, random_rows

EVERYTHING = Wanted(discrepancy=True, signed=True, published=True)
needs_native = pytest.mark.skipif(not native_available(), reason="native kernels are not loaded")
seeds = st.integers(0, 10_000)


@pytest.mark.parametrize("size", [2, 5, 10])
def test_bfgs_walks_as_that_of_scipy(size):
    start = np.linspace(-1.2, 1.0, size)
    solver = bfgs(start, 1e-6, 500)
    theta, ours = next(solver), []
    while True:
        ours.append(theta)
        try:
            theta = solver.send(Point(float(rosen(theta)), rosen_der(theta)))
        except StopIteration as end:
            solution = end.value
            break
    theirs = []

    def counted(x):
        theirs.append(x.copy())
        return rosen(x), rosen_der(x)

    reference = minimize(counted, start, jac=True, method="BFGS", options={"gtol": 1e-6})
    assert solution.converged
    # Rosenbrock's valley blows rounding up (10 dimensions: from 1e-15 at first to 2e-3 before the end), and processors
    # round differently: the walks are one while that is small, and may end a step apart.
    np.testing.assert_allclose(np.array(ours[:20]), np.array(theirs[:20]), rtol=1e-9)
    assert abs(len(ours) - len(theirs)) <= 1
    np.testing.assert_allclose(solution.theta, reference.x, atol=1e-7)


def sklearn_discrepancy(rows: Rows, i: int, j: int) -> float:
    """The discrepancy as the published code estimates it, with a solver that converges."""
    first, second = rows.s == i, rows.s == j
    X = StandardScaler().fit_transform(np.concatenate([rows.X[first], rows.X[second]]))
    y = np.concatenate([rows.y[first], 1 - rows.y[second]])
    weight = np.concatenate([np.full(first.sum(), 1 / first.sum()), np.full(second.sum(), 1 / second.sum())])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200).fit(X, y, weight)
    predicted, split = model.predict(X), first.sum()
    return abs(np.mean(predicted[:split] != rows.y[first]) - np.mean(predicted[split:] != rows.y[second]))


@pytest.mark.parametrize("seed", range(5))
def test_the_discrepancy_equals_that_of_scikit_learn(seed):
    rows = random_rows(seed)
    pairs = all_pairs(4)
    values, _ = compare(rows.packed(), pairs, EVERYTHING)
    expected = [sklearn_discrepancy(rows, i, j) for i, j in pairs.tolist()]
    np.testing.assert_allclose(values[:, 0], expected, atol=1e-9)


def test_the_discrepancy_is_large_where_labels_are_flipped_and_small_where_not():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 2))
    y = (X[:, 0] > 0).astype(int)
    s = np.repeat([0, 1, 2], 300)
    y[s == 2] = 1 - y[s == 2]
    values, _ = compare(Rows(X, y, np.tile([0, 1], 450), s).packed(), all_pairs(3), EVERYTHING)
    assert values[0, 0] < 0.1
    assert (values[1:, 0] > 0.9).all()


@needs_native
@settings(deadline=None, max_examples=15)
@given(seed=seeds, grid=st.booleans(), columns=st.sampled_from([1, 2, 4, 5, 9]))
def test_native_equals_numpy(seed, grid, columns):
    rows, pairs = random_rows(seed, columns=columns, grid=grid), all_pairs(4)
    convex = Wanted(discrepancy=True, signed=True)
    native, failed = estimate_natively(rows.packed(), pairs, convex, False)
    reference, expected = estimate_with_numpy(rows.packed(), pairs, convex)
    np.testing.assert_allclose(native[:, :2], reference[:, :2], atol=1e-9)
    assert failed.tolist() == expected.tolist()


@needs_native
def test_native_and_numpy_find_the_same_published_disparities():
    """Not convex: rounding may lead to another minimum, in principle; these starts are far from a watershed."""
    for seed in range(3):
        rows, pairs = random_rows(seed, most=150), all_pairs(4)
        native, _ = estimate_natively(rows.packed(), pairs, EVERYTHING, False)
        reference, _ = estimate_with_numpy(rows.packed(), pairs, EVERYTHING)
        np.testing.assert_allclose(native, reference, atol=1e-9)


@needs_native
def test_every_instruction_set_gives_the_same_estimates():
    rows, pairs = random_rows(1, sources=5, columns=7, most=200), all_pairs(5)
    reference, _ = estimate_with_numpy(rows.packed(), pairs, EVERYTHING)
    before = isa()
    try:
        for name in available_isas():
            set_isa(name)
            assert isa() == name
            values, _ = estimate_natively(rows.packed(), pairs, EVERYTHING, True)
            np.testing.assert_allclose(values, reference, atol=1e-9, err_msg=name)
    finally:
        set_isa(before)


@needs_native
def test_the_number_of_threads_changes_no_bit():
    rows, pairs = random_rows(2, sources=9, columns=6, most=120), all_pairs(9)
    before = torch.get_num_threads()
    found = [estimate_natively(rows.packed(), pairs, EVERYTHING, False)[0]]
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(estimate_natively(rows.packed(), pairs, EVERYTHING, True)[0])
    finally:
        torch.set_num_threads(before)
    assert all(values.tobytes() == found[0].tobytes() for values in found)


@settings(deadline=None, max_examples=10)
@given(seed=seeds, side=st.integers(1, 9))
def test_tiles_change_no_bit(seed, side):
    rows, pairs = random_rows(seed, sources=8), all_pairs(8)
    whole, failed = compare(rows.packed(), pairs, EVERYTHING)
    tiled, failed_in_tiles = compare_in_tiles(rows.packed(), pairs, EVERYTHING, side=side)
    assert tiled.tobytes() == whole.tobytes()
    assert failed_in_tiles.tolist() == failed.tolist()


@needs_native
@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["german", "compas"])
def test_on_real_data_native_and_numpy_published_disparities_agree_but_for_single_minima(name, shared_data):
    sources = split_sources(load_tabular(name, shared_data / "tab"), 0, 5).sources
    packed = [pack_source(source.X, source.y.astype(int), source.a.astype(int)) for source in sources]
    native, failed = estimate_natively(packed, all_pairs(5), EVERYTHING, False)
    reference, _ = estimate_with_numpy(packed, all_pairs(5), EVERYTHING)
    assert failed.sum() == 0
    np.testing.assert_allclose(native[:, :2], reference[:, :2], atol=1e-9)
    difference = np.abs(native[:, 2:] - reference[:, 2:])
    assert difference.mean() <= 0.01
    assert difference.max() <= 0.15


def test_a_large_mean_costs_no_digits():
    rows, pairs = random_rows(4), all_pairs(4)
    plain, _ = compare(rows.packed(), pairs, EVERYTHING)
    # Powers of two, so that moving the data is exact.
    X = np.round(rows.X * 2**20) / 2**20
    near, _ = compare(Rows(X, rows.y, rows.a, rows.s).packed(), pairs, EVERYTHING)
    far, _ = compare(Rows(X + 2.0**28, rows.y, rows.a, rows.s).packed(), pairs, EVERYTHING)
    np.testing.assert_allclose(far[:, :2], near[:, :2], atol=1e-9)
    np.testing.assert_allclose(near[:, :2], plain[:, :2], atol=1e-9)


@needs_native
class TestTheNativeOperationChecksItsArguments:
    def arguments(self, **changes):
        rows = torch.zeros(4, 2, dtype=torch.float64)
        given = {
            "rows": rows,
            "counts": torch.ones(4, 4, dtype=torch.float64),
            "row_ptr": torch.tensor([0, 2, 4]),
            "statistics": torch.zeros(2, 3, 2, dtype=torch.float64),
            "pairs": torch.tensor([[0, 1]]),
            "what": [1, 1, 1],
            "gtol": 1e-4,
            "max_iter": 10,
            "threads": False,
        }
        return (given | changes).values()

    def test_good_arguments_pass(self):
        values, failed = torch.ops.tamis.source_pairs(*self.arguments())
        assert values.tolist() == [[0.0, 0.0, 0.0, 0.0]]
        assert failed.tolist() == [0]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"rows": torch.zeros(4, 2)}, "rows has the wrong type"),
            ({"rows": torch.zeros(2, 4, dtype=torch.float64).T}, "rows has the wrong type"),
            ({"rows": torch.zeros(4, 0, dtype=torch.float64)}, "columns out of range"),
            ({"counts": torch.ones(4, 3, dtype=torch.float64)}, "counts must be"),
            ({"counts": torch.zeros(4, 4, dtype=torch.float64)}, "counts must be whole"),
            ({"counts": torch.full((4, 4), float("nan"), dtype=torch.float64)}, "counts must be whole"),
            ({"counts": torch.tensor([[1.0, 0, 1, 0]] * 4, dtype=torch.float64)}, "both groups"),
            ({"row_ptr": torch.tensor([0, 3, 5])}, "does not rise"),
            ({"row_ptr": torch.tensor([0, 4, 4])}, "has no rows"),
            ({"statistics": torch.zeros(1, 3, 2, dtype=torch.float64)}, "statistics must be"),
            ({"pairs": torch.tensor([[0, 2]])}, "names source 2 of 2"),
            ({"pairs": torch.tensor([[-1, 0]])}, "names source -1"),
            ({"pairs": torch.tensor([[0, 1, 1]])}, "pairs must be"),
            ({"what": [1, 1]}, "what must be"),
            ({"gtol": 0.0}, "must be positive"),
            ({"gtol": float("inf")}, "must be positive"),
            ({"max_iter": 0}, "must be positive"),
        ],
    )
    def test_bad_arguments_are_refused(self, changes, message):
        with pytest.raises(RuntimeError, match=message):
            torch.ops.tamis.source_pairs(*self.arguments(**changes))
