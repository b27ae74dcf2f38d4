"""The fair learners and baselines against the golden vectors, and what each does to the data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from tamis.sources import (
    AdversarialClassifier,
    DROClassifier,
    FLEAClassifier,
    HTERMClassifier,
    KonstantinovClassifier,
    NaiveClassifier,
    OracleClassifier,
    PostprocessedClassifier,
    RegularisedClassifier,
    ResampledClassifier,
    RobustEnsembleClassifier,
    UnawareClassifier,
)
from tamis.sources._dro import project_to_ball
from tamis.sources._hterm import tilted_risk
from tamis.sources._konstantinov import discrepancy_bound
from tamis.sources._regularised import balanced_loss

from .learner_vectors import ALL, LEARNERS, THREE, accuracy_and_gap, pool_of


def fitted(name: str):
    X, y, a, s = pool_of(ALL if name in ("dro_compat", "hterm_fixed") else THREE)
    return {
        "none": lambda: UnawareClassifier().fit(X, y),
        "regularised": lambda: RegularisedClassifier().fit(X, y, sensitive_features=a),
        "postprocessing": lambda: PostprocessedClassifier(paper_compat=True).fit(X, y, sensitive_features=a),
        "adversarial": lambda: AdversarialClassifier().fit(X, y, sensitive_features=a),
        "dro_compat": lambda: DROClassifier(paper_compat=True, random_state=0).fit(X, y, sensitive_features=a),
        "hterm_fixed": lambda: HTERMClassifier().fit(X, y, sensitive_features=a, sources=s),
    }[name]()


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("none", 1e-3),
        ("regularised", 2e-5),
        ("adversarial", 2e-5),
        ("postprocessing", 1e-3),
        ("dro_compat", 2e-5),
        ("hterm_fixed", 1e-2),
    ],
)
def test_a_learner_is_that_of_the_vectors(name, tolerance):
    model, expected = fitted(name), LEARNERS[name]
    np.testing.assert_allclose(model.theta_, expected["theta"], atol=tolerance, rtol=0)
    accuracy, gap = accuracy_and_gap(model)
    assert accuracy == pytest.approx(expected["accuracy"], abs=1e-6)
    assert gap == pytest.approx(expected["gamma"], abs=1e-6)


def test_the_slack_of_dro_and_the_rate_of_postprocessing_are_those_of_the_vectors():
    assert fitted("dro_compat").xi_ == LEARNERS["dro_compat"]["xi"]
    assert fitted("postprocessing").rate_ == pytest.approx(LEARNERS["postprocessing"]["rate_index"] / 100)


def test_the_ensemble_takes_the_median_probability_of_the_vectors():
    X, y, _, s = pool_of(ALL)
    found = RobustEnsembleClassifier().fit(X, y, sources=s).predict_proba(X)[:5, 1]
    np.testing.assert_allclose(found, LEARNERS["ensemble_none"]["median_probability_first5"], atol=2e-3)


def test_the_bound_of_konstantinov_is_that_of_the_vectors():
    given = LEARNERS["konstantinov_threshold"]
    found = discrepancy_bound(np.mean(given["m"]), given["d"], given["N"], given["delta"])
    assert found == pytest.approx(given["value"], abs=1e-9)


def test_losses_have_the_gradient_of_finite_differences():
    X, y, a, s = pool_of(ALL)
    parts = [(X[s == i], y[s == i], a[s == i]) for i in ALL]
    functions = [
        balanced_loss(X, y, a, 0.5),
        lambda theta: tilted_risk(theta, parts, 2.0, -2.0, paper_compat=False),
        lambda theta: tilted_risk(theta, parts, 2.0, -2.0, paper_compat=True),
    ]
    theta, step = np.array([0.1, 0.4, -0.3, 0.2]), 1e-6
    for function in functions:
        numeric = [
            (function(theta + step * unit)[0] - function(theta - step * unit)[0]) / (2 * step) for unit in np.eye(4)
        ]
        np.testing.assert_allclose(function(theta)[1], numeric, atol=1e-8)


def test_a_regularised_learner_without_weight_is_balanced_logistic_regression():
    X, y, a, _ = pool_of(THREE)
    model = RegularisedClassifier(eta=0.0, gtol=1e-8).fit(X, y, sensitive_features=a)
    peer = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-9, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-5)


def test_more_weight_on_fairness_makes_the_groups_more_equal():
    X, y, a, _ = pool_of(THREE)
    gaps = []
    for eta in (0.0, 0.5, 5.0):
        p = RegularisedClassifier(eta=eta).fit(X, y, sensitive_features=a).predict_proba(X)[:, 1]
        gaps.append(abs(p[a == 0].mean() - p[a == 1].mean()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3


def test_repaired_postprocessing_decides_as_many_right_as_it_counted_and_the_published_does_not():
    X, y, a, _ = pool_of(THREE)
    equal = PostprocessedClassifier().fit(X, y, sensitive_features=a)
    decisions = equal.predict(X)
    for group in (0, 1):
        within = 1 / (a == group).sum()  # a rate between two rows decides as the nearer cut
        assert abs((1 - decisions[a == group].mean()) - equal.rate_) <= max(within, 0.1)
    cut = PostprocessedClassifier(paper_compat=True).fit(X, y, sensitive_features=a)
    assert np.abs(cut.decision_function(X)).min() < 1e-8  # a threshold on a row
    assert np.abs(equal.decision_function(X)).min() > 1e-3


def test_resampled_rows_have_label_and_group_independent():
    X, y, a, _ = pool_of(ALL)
    model = ResampledClassifier(random_state=0).fit(X, y, sensitive_features=a)
    rates = [y[model.rows_][a[model.rows_] == group].mean() for group in (0, 1)]
    assert abs(rates[0] - rates[1]) < 0.02
    assert abs(y[a == 0].mean() - y[a == 1].mean()) > 0.05


def test_any_classifier_plugs_in():
    X, y, a, s = pool_of(ALL)
    forest = RandomForestClassifier(n_estimators=5, random_state=0)
    for model in (
        ResampledClassifier(forest, random_state=0),
        NaiveClassifier(forest),
        OracleClassifier(forest, clean=[0, 1, 3]),
        KonstantinovClassifier(forest),
        RobustEnsembleClassifier(forest),
    ):
        given = {} if isinstance(model, ResampledClassifier) else {"sources": s}
        assert model.fit(X, y, sensitive_features=a, **given).score(X, y) > 0.6
    assert FLEAClassifier(RegularisedClassifier()).fit(X, y, sensitive_features=a, sources=s).score(X, y) > 0.5


def test_a_fairlearn_estimator_plugs_in():
    from fairlearn.reductions import DemographicParity, ExponentiatedGradient

    X, y, a, s = pool_of(ALL)
    fair = ExponentiatedGradient(LogisticRegression(), DemographicParity(), max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fairlearn's own
        model = OracleClassifier(fair, clean=[0, 1, 3]).fit(X, y, sensitive_features=a, sources=s)
        assert (model.predict(X) == y).mean() > 0.5


def test_the_oracle_fits_on_the_clean_rows_and_the_naive_on_all():
    X, y, a, s = pool_of(ALL)
    oracle = OracleClassifier(RegularisedClassifier(), clean=[0, 1, 3]).fit(X, y, sensitive_features=a, sources=s)
    np.testing.assert_array_equal(oracle.support_, [True, True, False, True, False])
    np.testing.assert_allclose(oracle.estimator_.theta_, LEARNERS["regularised"]["theta"], atol=2e-5)
    naive = NaiveClassifier().fit(X, y, sources=s)
    np.testing.assert_array_equal(naive.estimator_.theta_, UnawareClassifier().fit(X, y).theta_)


def test_konstantinov_keeps_sources_near_to_a_majority_and_all_where_the_bound_is_vacuous():
    X, y, _, s = pool_of(ALL)
    small = KonstantinovClassifier(n_bad=2).fit(X, y, sources=s)
    assert small.bounds_.min() > small.discrepancy_.max()
    assert small.support_.all()
    draw = np.random.default_rng(0)
    X = draw.normal(size=(20000, 1))
    y = (X[:, 0] + draw.normal(size=20000) > 0).astype(int)
    s = np.repeat(np.arange(5), 4000)
    y[s == 2] = 1 - y[s == 2]
    np.testing.assert_array_equal(
        KonstantinovClassifier(n_bad=1).fit(X, y, sources=s).support_, [True, True, False, True, True]
    )


def test_hterm_behind_postprocessing_gets_the_sources():
    X, y, a, s = pool_of(ALL)
    both = PostprocessedClassifier(HTERMClassifier()).fit(X, y, sensitive_features=a, sources=s)
    alone = HTERMClassifier().fit(X, y, sensitive_features=a, sources=s)
    np.testing.assert_allclose(both.coef_[0, :2], alone.coef_[0, :2])
    assert abs(both.coef_[0, 2] - alone.coef_[0, 2]) > 1e-3


def test_compat_of_hterm_and_dro_changes_what_they_learn():
    X, y, a, s = pool_of(ALL)
    for kind, given in ((HTERMClassifier, {"sources": s}), (DROClassifier, {})):
        settings = {"random_state": 0}
        thetas = [
            kind(paper_compat=compat, **settings).fit(X, y, sensitive_features=a, **given).theta_
            for compat in (True, False)
        ]
        assert np.abs(thetas[0] - thetas[1]).max() > 1e-2


def test_the_projection_reaches_the_ball_and_keeps_signs():
    v = np.array([0.5, -2.0, 1.0, 0.0])
    inside = project_to_ball(v, 1.0)
    assert np.abs(inside).sum() == pytest.approx(1.0)
    assert (inside * v >= 0).all()
    np.testing.assert_array_equal(project_to_ball(inside * 0.9, 1.0), inside * 0.9)
    np.testing.assert_array_equal(project_to_ball(v, 0.0), np.zeros(4))


def test_equal_seeds_give_equal_fits_and_a_generator_advances():
    X, y, a, _ = pool_of(ALL)
    first, second = (ResampledClassifier(random_state=3).fit(X, y, sensitive_features=a).rows_ for _ in range(2))
    np.testing.assert_array_equal(first, second)
    random = np.random.RandomState(3)
    third, fourth = (ResampledClassifier(random_state=random).fit(X, y, sensitive_features=a).rows_ for _ in range(2))
    np.testing.assert_array_equal(third, first)
    assert not np.array_equal(third, fourth)
