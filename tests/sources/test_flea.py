"""The selector as its users meet it: choices, references, plots, scikit-learn's rules."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from tamis.errors import UsageError
from tamis.sources import FLEA, FLEAClassifier, explain_sources

from .flea_vectors import Rows, fit


@pytest.mark.parametrize("estimator", [FLEA(), FLEAClassifier(LogisticRegression())], ids=["selector", "classifier"])
def test_scikit_learn_accepts_the_estimator(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # array API input needs an environment variable
        found = check_estimator(estimator, on_fail=None)
    failed = {check["check_name"]: check["exception"] for check in found if check["status"] == "failed"}
    assert not failed
    assert [check["check_name"] for check in found if check["status"] == "skipped"] == ["check_array_api_input"]


def test_the_manipulated_source_is_found_whatever_is_known(manipulated):
    for n_clean in (None, 3, 4, 0.8, "auto"):
        found = fit(manipulated, n_clean=n_clean)
        assert not found.support_[1], n_clean
        assert found.ranking_[1] == 5
        assert found.support_.sum() == found.n_clean_
    assert fit(manipulated, n_clean="auto").support_.tolist() == [True, False, True, True, True]


def test_names_of_sources_may_be_text_in_any_order_and_values_of_y_and_a_too(manipulated):
    names = np.array(["north", "east", "south", "west", "centre"])
    words = FLEA(n_clean="auto").fit(
        pd.DataFrame(manipulated.X, columns=["p", "q", "r"]),
        pd.Series(np.where(manipulated.y, "yes", "no")),
        sensitive_features=pd.Series(np.where(manipulated.a, "m", "f")),
        sources=pd.Categorical(names[manipulated.s], categories=[*names, "closed"]),
    )
    assert words.sources_.tolist() == ["centre", "east", "north", "south", "west"]
    assert words.sources_[~words.support_].tolist() == ["east"]
    assert words.feature_names_in_.tolist() == ["p", "q", "r"]
    assert words.groups_.tolist() == ["f", "m"]
    numbers = fit(manipulated)
    east, north = 1, 2
    assert words.distances_[east, north] == pytest.approx(numbers.distances_[1, 0], abs=1e-12)


def test_without_sensitive_features_only_labels_are_compared(manipulated):
    found = FLEA().fit(manipulated.X, manipulated.y, sources=manipulated.s)
    assert found.disparity_ is None
    assert found.disbalance_ is None
    np.testing.assert_array_equal(found.distances_, found.discrepancy_)
    assert not found.support_[1]
    with pytest.raises(UsageError, match="need sensitive_features"):
        FLEA(components=["disbalance"]).fit(manipulated.X, manipulated.y, sources=manipulated.s)


@pytest.mark.parametrize("components", [["discrepancy"], ["disbalance"], ["disparity", "disbalance"]])
def test_components_can_be_chosen(manipulated, components):
    found = fit(manipulated, components=components)
    assert [
        name for name in ("discrepancy", "disparity", "disbalance") if getattr(found, f"{name}_") is not None
    ] == components
    np.testing.assert_allclose(found.distances_, sum(getattr(found, f"{name}_") for name in components))


def test_the_sensitive_feature_is_appended_only_if_it_is_not_there_yet(manipulated):
    without = fit(manipulated)
    within = Rows(np.column_stack([manipulated.X, manipulated.a]), manipulated.y, manipulated.a, manipulated.s)
    np.testing.assert_allclose(fit(within).distances_, without.distances_, atol=1e-9)
    np.testing.assert_allclose(fit(within, include_sensitive=False).distances_, without.distances_, atol=1e-9)
    other = fit(manipulated, include_sensitive=False)
    assert not np.allclose(other.distances_, without.distances_)
    reverse = Rows(np.column_stack([manipulated.X, 3.0 - manipulated.a]), manipulated.y, manipulated.a, manipulated.s)
    np.testing.assert_allclose(fit(reverse).distances_, without.distances_, atol=1e-9)


def test_row_mask_and_fit_resample_keep_all_rows_of_kept_sources(manipulated):
    found = FLEA(n_clean=4)
    frame = pd.DataFrame(manipulated.X)
    X, y = found.fit_resample(frame, manipulated.y, sensitive_features=manipulated.a, sources=manipulated.s)
    mask = manipulated.s != 1
    np.testing.assert_array_equal(found.row_mask(manipulated.s), mask)
    np.testing.assert_array_equal(found.sample_indices_, np.flatnonzero(mask))
    pd.testing.assert_frame_equal(X, frame[mask])
    np.testing.assert_array_equal(y, manipulated.y[mask])


def test_random_references_need_fewer_pairs_and_find_the_source_too():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(30 * 60, 2))
    y = (X[:, 0] + 0.3 * rng.normal(size=len(X)) > 0).astype(int)
    s = np.repeat(np.arange(30), 60)
    bad = s < 8
    y[bad] = 1 - y[bad]
    a = rng.integers(0, 2, len(X))
    rows = Rows(X, y, a, s)
    found = fit(rows, n_references=12, random_state=0, n_clean=16)
    compared = np.isfinite(found.distances_)
    assert compared.sum() == 30 + 2 * (12 * 11 // 2 + 12 * 18)
    assert not found.support_[:8].any()
    assert np.isfinite(found.scores_).all()
    np.testing.assert_array_equal(found.distances_, fit(rows, n_references=12, random_state=0).distances_)
    assert not fit(rows, n_references=12, random_state=0, n_clean="auto").support_[:8].any()
    np.testing.assert_array_equal(fit(rows, n_references=99).distances_, fit(rows).distances_)


def test_what_sets_a_source_apart_is_its_largest_component(manipulated):
    accounts = explain_sources(fit(manipulated, n_clean=4))
    assert [account.rank for account in accounts] == [1, 2, 3, 4, 5]
    worst = accounts[-1]
    assert (worst.name, worst.kept, worst.largest, worst.rows) == ("1", False, "discrepancy", 150)
    assert worst.components["discrepancy"] > 0.7
    assert worst.usual["discrepancy"] < 0.15


def test_the_plot_shows_every_source_by_name(manipulated):
    figure = fit(manipulated, n_clean=4).plot()
    left, right = figure.axes[:2]
    assert [text.get_text() for text in right.get_yticklabels()][-1] == "1", "the worst source comes last"
    assert len(right.patches) == 5
    assert left.images[0].get_array().shape == (5, 5)
