"""FLEA against the golden vectors, natively and with NumPy: estimates, intermediate values, selections, suprema."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.kernels import native_available
from tamis.sources import FLEA, _compare
from tamis.sources._packing import pack_source, pair_scaler
from tamis.sources._pair import Wanted, solve_convex, solve_published, solve_start
from tamis.sources._terms import Term, answer

from . import flea_vectors
from .flea_vectors import CONTENT, SETS, all_pairs, rows_of

TOLERANCE = 1e-9


@pytest.fixture(params=["native", "numpy"])
def solver(request, monkeypatch):
    """Run the test with each solver, and prove that it was that one."""
    if request.param == "native" and not native_available():
        pytest.skip("native kernels are not loaded")
    used = []
    for name, function in (("native", _compare.estimate_natively), ("numpy", _compare.estimate_with_numpy)):
        monkeypatch.setattr(
            _compare, function.__name__, lambda *args, name=name, call=function: (used.append(name), call(*args))[1]
        )
    monkeypatch.setattr(_compare, "native_available", lambda: request.param == "native")
    yield request.param
    assert set(used) <= {request.param}
    assert used, "no pair was estimated"


def fitted(name, **parameters):
    rows = rows_of(name)
    selector = FLEA(include_sensitive=False, **parameters)
    return selector.fit(rows.X, rows.y, sensitive_features=rows.a, sources=rows.s)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("disparity", ["signed", "published"])
def test_the_three_matrices_equal_the_vectors(name, disparity, solver):
    expected = SETS[name]["expected"]
    selector = fitted(name, disparity=disparity)
    np.testing.assert_allclose(selector.discrepancy_, expected["disc"], atol=TOLERANCE)
    wanted = expected["sdisp" if disparity == "signed" else "disp"]
    np.testing.assert_allclose(selector.disparity_, wanted, atol=TOLERANCE)
    np.testing.assert_allclose(selector.disbalance_, expected["disb"], atol=1e-11)
    assert selector.n_not_converged_ == 0


@pytest.mark.parametrize("name", SETS)
def test_the_directed_published_disparity_equals_the_vectors(name, solver):
    packed, pairs = rows_of(name).packed(), all_pairs(len(SETS[name]["sources"]))
    values, _ = _compare.compare(packed, pairs, Wanted(discrepancy=False, signed=False, published=True))
    directed = np.array(SETS[name]["expected"]["disp_directed"])
    np.testing.assert_allclose(values[:, 2], directed[pairs[:, 0], pairs[:, 1]], atol=TOLERANCE)
    np.testing.assert_allclose(values[:, 3], directed[pairs[:, 1], pairs[:, 0]], atol=TOLERANCE)
    assert np.isnan(values[:, :2]).all()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("disparity", ["signed", "published"])
@pytest.mark.parametrize("aggregation", ["sum", "max"])
def test_scores_and_selection_equal_the_vectors(name, disparity, aggregation):
    expected = SETS[name]["expected"][f"{disparity}_{aggregation}"]
    selector = fitted(name, disparity=disparity, aggregation=aggregation, n_clean=SETS[name]["K"])
    np.testing.assert_allclose(selector.scores_, expected["q"], atol=TOLERANCE)
    best_first = np.argsort(selector.ranking_)[: selector.n_clean_]
    assert best_first.tolist() == expected["selected"]
    assert sorted(expected["selected"]) == np.flatnonzero(selector.support_).tolist()
    if aggregation == "sum":
        np.testing.assert_allclose(selector.distances_, expected["D"], atol=TOLERANCE)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("disparity", ["signed", "published"])
def test_growth_from_the_core_keeps_what_the_vectors_say(name, disparity):
    expected = SETS[name]["expected"][f"{disparity}_sum"]["auto"]
    selector = fitted(name, disparity=disparity, n_clean="auto")
    assert np.flatnonzero(selector.support_).tolist() == expected["kept"]
    assert selector.n_clean_ == len(expected["kept"])


@pytest.mark.parametrize("name", SETS)
def test_estimates_never_exceed_the_exact_suprema(name):
    supremum = SETS[name]["supremum"]
    for disparity, key in (("signed", "sdisp"), ("published", "disp_absolute")):
        selector = fitted(name, disparity=disparity)
        assert (selector.discrepancy_ <= np.array(supremum["disc"]) + 1e-9).all()
        assert (selector.disparity_ <= np.array(supremum[key]) + 1e-9).all()


def test_the_published_disparity_is_blind_where_groups_are_swapped_and_the_signed_is_not():
    bad = SETS["A"]["bad"]
    published = fitted("A", disparity="published", n_clean=3).support_
    signed = fitted("A", disparity="signed", n_clean=3).support_
    assert published[bad].all(), "with the published disparity both manipulated sources are kept"
    assert not signed[bad].any()


def test_swapped_groups_are_found_in_large_samples():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(5000, 2))
    a = (X[:, 0] + 0.5 * rng.normal(size=5000) > 0).astype(int)
    y = (X[:, 1] + rng.normal(size=5000) > 0).astype(int)
    s = np.repeat(np.arange(5), 1000)
    bad = (s == 1) | (s == 3)
    a[bad] = 1 - a[bad]
    signed = FLEA(n_clean=3, include_sensitive=False).fit(X, y, sensitive_features=a, sources=s)
    assert not signed.support_[[1, 3]].any()
    assert signed.disparity_[0, 1] > 0.9


def test_a_separable_pair_reaches_one(solver):
    pair = CONTENT["_meta"]["separable_pair"]
    X, a = np.array(pair["X"], dtype=float), np.array(pair["a"])
    packed = [pack_source(X, np.array(pair[y]), a) for y in ("y_first", "y_second")]
    values, failed = _compare.compare(packed, all_pairs(2), Wanted(signed=False))
    assert values[0, 0] == pair["disc"]
    assert failed[0] == 0


@pytest.mark.parametrize("name", SETS)
class TestIntermediateValuesOfPairOneZero:
    """Coefficients and objective values of the NumPy solver, which the native one follows step for step."""

    def setup(self, name):
        packed = [flea_vectors.rows_of(name).packed()[source] for source in (1, 0)]
        return packed, pair_scaler(packed[0].summary, packed[1].summary), SETS[name]["pair_10"]

    def solved(self, asking, packed):
        asks = next(asking)
        while True:
            try:
                asks = asking.send([answer(packed[ask.side], ask.question) for ask in asks])
            except StopIteration as end:
                return end.value

    def test_the_scaler_is_that_of_the_vectors(self, name):
        packed, scaler, expected = self.setup(name)
        mean = packed[0].summary.centre + scaler.shifts[0]
        np.testing.assert_allclose(mean, expected["scaler_mean"], atol=1e-9)
        np.testing.assert_allclose(packed[1].summary.centre + scaler.shifts[1], mean, atol=1e-12)
        np.testing.assert_allclose(scaler.scale, expected["scaler_scale"], atol=1e-9)

    def test_discrepancy_and_signed_disparity(self, name):
        packed, scaler, expected = self.setup(name)
        label = self.solved(solve_convex(scaler, (Term.LABEL, Term.LABEL_FLIPPED)), packed)
        np.testing.assert_allclose(label.theta, expected["disc_theta"], atol=1e-5)
        group = self.solved(solve_convex(scaler, (Term.GROUP, Term.GROUP_FLIPPED)), packed)
        np.testing.assert_allclose(group.theta, expected["sdisp_theta"], atol=1e-5)

    def test_start_and_result_of_the_published_disparity(self, name):
        packed, scaler, expected = self.setup(name)
        start = self.solved(solve_start(scaler, 0), packed)
        np.testing.assert_allclose(start.theta, expected["disp_theta0"], atol=1e-6)
        at_start = self.solved(solve_published(scaler, 0, start.theta, 1e9, 1), packed)
        assert at_start.point.value == pytest.approx(expected["disp_F_at_theta0"], abs=1e-6)
        np.testing.assert_allclose(at_start.point.gradient, expected["disp_grad_at_theta0"], atol=1e-5)
        precise = self.solved(solve_published(scaler, 0, start.theta, 1e-8, 500), packed)
        np.testing.assert_allclose(precise.theta, expected["disp_theta"], atol=1e-3)
        assert precise.point.value == pytest.approx(expected["disp_F"], abs=1e-6)
