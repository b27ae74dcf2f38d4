"""The selector and the meta-estimator as their users meet them: choices, refusals, edge cases, scikit-learn's rules."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from tamis.errors import UsageError
from tamis.sources import FLEA, FLEAClassifier, explain_sources

from .flea_vectors import Rows, random_rows


@pytest.fixture
def manipulated() -> Rows:
    """Five sources; the labels of source 1 are flipped."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(750, 3))
    y = (X[:, 0] + 0.3 * rng.normal(size=750) > 0).astype(int)
    a = rng.integers(0, 2, 750)
    s = np.repeat(np.arange(5), 150)
    y[s == 1] = 1 - y[s == 1]
    return Rows(X, y, a, s)


def fit(rows: Rows, **parameters) -> FLEA:
    return FLEA(**parameters).fit(rows.X, rows.y, sensitive_features=rows.a, sources=rows.s)


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


class TestEdgeCases:
    def test_no_sources_or_one_source_keep_everything(self, manipulated):
        X, y, a = manipulated.X, manipulated.y, manipulated.a
        for sources in (None, np.zeros(len(y)), ["only"] * len(y)):
            found = FLEA().fit(X, y, sensitive_features=a, sources=sources)
            assert found.support_.tolist() == [True]
            assert found.n_clean_ == 1
            kept, _ = FLEA().fit_resample(X, y, sources=sources)
            assert len(kept) == len(y)

    def test_two_sources_are_kept_with_a_warning(self):
        rows = random_rows(0, sources=2)
        with pytest.warns(UserWarning, match="with 2 sources no majority"):
            assert fit(rows).support_.all()

    def test_half_or_fewer_come_with_a_warning(self, manipulated):
        with pytest.warns(UserWarning, match="keeps 2 of 5 sources.*no guarantee"):
            fit(manipulated, n_clean=2)

    def test_a_source_with_one_class_only_is_compared(self):
        rows = random_rows(1)
        rows.y[rows.s == 2] = 1
        found = fit(rows)
        assert np.isfinite(found.distances_).all()
        assert found.n_not_converged_ == 0

    def test_all_labels_equal_are_compared(self):
        rows = random_rows(1)
        found = FLEA().fit(rows.X, np.ones_like(rows.y), sensitive_features=rows.a, sources=rows.s)
        assert np.isfinite(found.distances_).all()
        np.testing.assert_array_equal(found.positive_shares_, 1.0)

    def test_a_source_without_a_group_is_refused_by_name(self):
        rows = random_rows(1)
        rows.a[rows.s == 2] = 1
        with pytest.raises(
            UsageError, match=r"source 2 has no row with 0 in sensitive_features; .*on_empty_group='max'"
        ):
            fit(rows)

    @pytest.mark.parametrize(("disparity", "top"), [("signed", 2.0), ("published", 1.0)])
    def test_a_source_without_a_group_can_be_treated_as_most_suspect(self, disparity, top):
        rows = random_rows(1)
        rows.a[rows.s == 2] = 1
        with pytest.warns(UserWarning, match="its disparity to all others is set to the largest value"):
            found = fit(rows, on_empty_group="max", disparity=disparity)
        others = [0, 1, 3]
        assert (found.disparity_[2, others] == top).all()
        assert found.disparity_[2, 2] == 0
        assert (found.disparity_[np.ix_(others, others)] < top).all()
        assert np.isfinite(found.discrepancy_).all()

    def test_one_group_in_all_sources_is_refused(self, manipulated):
        with pytest.raises(UsageError, match="has no row with"):
            FLEA().fit(manipulated.X, manipulated.y, sensitive_features=np.ones(750), sources=manipulated.s)

    def test_a_source_of_one_row_is_compared_by_labels(self):
        rows = random_rows(1)
        X, y, s = np.vstack([rows.X, [[0.1, 0.2, 0.3]]]), np.append(rows.y, 1), np.append(rows.s, 4)
        assert np.isfinite(FLEA().fit(X, y, sources=s).distances_).all()


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"X": [[np.nan, 1.0]] * 4}, "X holds NaN or infinite values: 4, the first in row 0, column 0"),
            ({"X": [[1.0, np.inf]] * 4}, "X holds NaN or infinite values: 4, the first in row 0, column 1"),
            ({"X": pd.DataFrame({"age": [1, 2, 3, 4], "town": list("abcd")})}, "holds text in column 'town'"),
            ({"y": [0, 1, 2, 1]}, "y must have two values, got 3: 0, 1, 2"),
            ({"y": [0, 1, np.nan, 1]}, "y contains NaN|y has 1 missing"),
            ({"y": [0, 1, 1]}, "inconsistent"),
            ({"a": [0, 1, 2, 1]}, "sensitive_features must have two values, got 3: 0, 1, 2; merge"),
            ({"a": [0, 1, None, 1]}, r"sensitive_features has 1 missing values \(the first in row 2\)"),
            ({"a": [0, 1, 1]}, "sensitive_features has 3 rows and X 4"),
            ({"a": np.zeros((4, 2))}, "sensitive_features must be one column, got an array of shape"),
            ({"s": ["a", "b", None, "b"]}, r"sources has 1 missing values \(the first in row 2\)"),
            ({"s": ["a", "b", pd.NA, "b"]}, r"sources has 1 missing values"),
            ({"s": ["a"]}, "sources has 1 rows and X 4"),
            ({"X": [[1e200, 1.0], [2e200, 3.0]] * 2}, "column 0 of X holds numbers too large"),
        ],
    )
    def test_data_that_does_not_fit(self, change, message):
        given = {
            "X": [[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [4.0, 2.0]],
            "y": [0, 1, 0, 1],
            "a": [0, 1, 1, 0],
            "s": [0, 0, 1, 1],
        }
        given |= change
        with pytest.raises(ValueError, match=message):
            FLEA().fit(given["X"], given["y"], sensitive_features=given["a"], sources=given["s"])

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"n_clean": 6}, "n_clean=6: expected 1 to 5"),
            ({"n_clean": 0}, "n_clean=0: expected 1 to 5"),
            ({"n_clean": 1.5}, r"n_clean=1.5: as a fraction"),
            ({"n_clean": "most"}, "n_clean='most': expected a number of sources"),
            ({"n_clean": True}, "n_clean=True"),
            ({"components": "disparity"}, "components='disparity': expected some of"),
            ({"components": []}, "components"),
            ({"components": ["fairness"]}, "components"),
            ({"disparity": "unsigned"}, "disparity='unsigned': expected one of 'signed', 'published'"),
            ({"aggregation": "mean"}, "aggregation='mean'"),
            ({"include_sensitive": "maybe"}, "include_sensitive='maybe'"),
            ({"on_empty_group": "skip"}, "on_empty_group='skip'"),
            ({"gtol": 0}, "gtol=0: expected a positive number"),
            ({"max_iter": 0}, "max_iter=0: expected a positive integer"),
            ({"n_references": 0}, "n_references=0: expected a positive integer"),
        ],
    )
    def test_parameters_that_do_not_fit(self, manipulated, parameters, message):
        with pytest.raises(UsageError, match=message):
            fit(manipulated, **parameters)

    def test_adding_a_source(self, manipulated):
        found = fit(manipulated)
        X, y, a = manipulated.X[:20], manipulated.y[:20], manipulated.a[:20]
        with pytest.raises(UsageError, match="a source named 3 is known already"):
            found.add_source(X, y, sensitive_features=a, name=3)
        with pytest.raises(UsageError, match="if and only if"):
            found.add_source(X, y, name=9)
        with pytest.raises(UsageError, match="y holds 2, which was not among"):
            found.add_source(X, y + 1, sensitive_features=a, name=9)
        with pytest.raises(ValueError, match="features"):
            found.add_source(X[:, :2], y, sensitive_features=a, name=9)
        with pytest.raises(UsageError, match="fitted with at least two sources"):
            FLEA().fit(X, y).add_source(X, y, name=9)
        with pytest.raises(UsageError, match="name='x': expected a name of the kind of the others, such as 0"):
            found.add_source(X, y, sensitive_features=a, name="x")
        with pytest.raises(UsageError, match="source 9 has no row with 1"):
            found.add_source(X, y, sensitive_features=np.zeros(20), name=9)
        assert len(found.sources_) == len(found._packed) == len(found.distances_) == 5, (
            "a refused source leaves no trace"
        )

    def test_an_unknown_source_in_row_mask(self, manipulated):
        with pytest.raises(UsageError, match="source 7 was not there"):
            fit(manipulated).row_mask([1, 7])


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


class TestClassifier:
    def test_it_is_fitted_on_the_rows_of_kept_sources(self, manipulated):
        X, y, a, s = manipulated.X, manipulated.y, manipulated.a, manipulated.s
        ours = FLEAClassifier(LogisticRegression(), selector=FLEA(n_clean=4)).fit(X, y, sensitive_features=a, sources=s)
        clean = s != 1
        expected = LogisticRegression().fit(X[clean], y[clean])
        np.testing.assert_array_equal(ours.estimator_.coef_, expected.coef_)
        np.testing.assert_array_equal(ours.predict(X), expected.predict(X))
        np.testing.assert_array_equal(ours.predict_proba(X), expected.predict_proba(X))
        np.testing.assert_array_equal(ours.decision_function(X), expected.decision_function(X))
        assert ours.score(X[clean], y[clean]) > 0.85

    def test_sample_weight_loses_the_rows_that_the_data_loses(self, manipulated):
        X, y, s = manipulated.X, manipulated.y, manipulated.s
        weight, clean = np.linspace(0.1, 2, len(y)), s != 1
        ours = FLEAClassifier(LogisticRegression(), selector=FLEA(n_clean=4)).fit(X, y, sources=s, sample_weight=weight)
        expected = LogisticRegression().fit(X[clean], y[clean], sample_weight=weight[clean])
        np.testing.assert_array_equal(ours.estimator_.coef_, expected.coef_)

    def test_a_fair_estimator_receives_the_groups_of_the_kept_rows(self, manipulated):
        class Fair(LogisticRegression):
            def fit(self, X, y, sensitive_features=None):
                self.groups_seen_ = np.asarray(sensitive_features)
                return super().fit(X, y)

        X, y, a, s = manipulated.X, manipulated.y, manipulated.a, manipulated.s
        ours = FLEAClassifier(Fair(), selector=FLEA(n_clean=4)).fit(X, y, sensitive_features=a, sources=s)
        np.testing.assert_array_equal(ours.estimator_.groups_seen_, a[s != 1])

    def test_metadata_is_routed_through_pipelines_and_searches(self, manipulated):
        X, y, a, s = manipulated.X, manipulated.y, manipulated.a, manipulated.s
        weight = np.linspace(0.1, 2, len(y))
        with config_context(enable_metadata_routing=True):
            inner = LogisticRegression().set_fit_request(sample_weight=True)
            ours = FLEAClassifier(inner, selector=FLEA(n_clean=4)).set_fit_request(
                sensitive_features=True, sources=True
            )
            scaler = StandardScaler().set_fit_request(sample_weight=False)
            pipeline = make_pipeline(scaler, ours)
            pipeline.fit(X, y, sensitive_features=a, sources=s, sample_weight=weight)
            chosen = pipeline[-1]
            assert chosen.selector_.sources_[~chosen.selector_.support_].tolist() == [1]
            search = GridSearchCV(ours, {"estimator__C": [0.1, 10.0]}, cv=2)
            search.fit(X, y, sensitive_features=a, sources=s, sample_weight=weight)
            assert search.best_estimator_.selector_.n_clean_ == 4

    def test_parameters_are_stored_untouched_and_cloned(self):
        inner, selector = LogisticRegression(C=3), FLEA(n_clean=0.7)
        ours = FLEAClassifier(inner, selector=selector)
        assert ours.estimator is inner
        assert ours.selector is selector
        copy = clone(ours)
        assert copy.selector.n_clean == 0.7
        assert copy.set_params(selector__n_clean=3).selector.n_clean == 3

    def test_methods_that_the_classifier_lacks_are_lacking(self):
        assert not hasattr(FLEAClassifier(DecisionTreeClassifier()), "decision_function")
        with pytest.raises(NotFittedError):
            FLEAClassifier(DecisionTreeClassifier()).predict([[1.0]])
