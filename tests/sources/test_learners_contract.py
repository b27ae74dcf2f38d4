"""What learners and baselines promise to users: clear refusals, any labels, weights, scikit-learn's rules."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _num_samples

import tamis.sources as sources
from tamis.errors import UsageError
from tamis.sources import (
    AdversarialClassifier,
    DROClassifier,
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

from .learner_vectors import ALL, LEARNERS, THREE, pool_of


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sensitive_features": None}, "needs sensitive_features"),
        ({"sensitive_features": np.zeros(124)}, "has 1 groups"),
        ({"sensitive_features": np.full(124, np.nan)}, "missing values"),
        ({"sensitive_features": np.zeros(5)}, "has 5 rows and X 124"),
        ({"y": np.zeros(124)}, "one class only"),
        ({"y": np.arange(124) % 3}, "y has 3 classes"),
    ],
)
def test_bad_input_is_one_clear_sentence(change, words):
    X, y, a, _ = pool_of(THREE)
    given = {"y": y, "sensitive_features": a, **change}
    with pytest.raises(UsageError, match=words):
        RegularisedClassifier().fit(X, given["y"], sensitive_features=given["sensitive_features"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda X, y, a, s: PostprocessedClassifier().fit(X[:, :2], y, sensitive_features=a), "no column of X equals"),
        (lambda X, y, a, s: PostprocessedClassifier(sensitive_column=7).fit(X, y, sensitive_features=a), "3 columns"),
        (lambda X, y, a, s: PostprocessedClassifier(sensitive_column=0).fit(X, y, sensitive_features=a), "does not"),
        (
            lambda X, y, a, s: PostprocessedClassifier(RandomForestClassifier(2)).fit(X, y, sensitive_features=a),
            "has no coef_",
        ),
        (lambda X, y, a, s: OracleClassifier(clean=["x"]).fit(X, y, sources=s), "no such source"),
        (lambda X, y, a, s: KonstantinovClassifier(n_bad=9).fit(X, y, sources=s), "n_bad = 9"),
        (lambda X, y, a, s: KonstantinovClassifier(delta=0).fit(X, y, sources=s), "delta = 0"),
        (lambda X, y, a, s: DROClassifier(tv=2).fit(X, y, sensitive_features=a), "tv = 2"),
        (lambda X, y, a, s: DROClassifier(xi=0).fit(X, y, sensitive_features=a), "xi = 0"),
        (lambda X, y, a, s: ResampledClassifier().fit(X, y, sensitive_features=y), "cannot be made independent"),
        (lambda X, y, a, s: RobustEnsembleClassifier().fit(X, y, sources=y), "needs both classes"),
        (lambda X, y, a, s: NaiveClassifier().fit(X, y, sources=s[:3]), "has 3 rows"),
    ],
)
def test_what_a_learner_cannot_do_it_says(make, words):
    with pytest.raises(UsageError, match=words):
        make(*pool_of(ALL))


def test_string_labels_and_groups_work_as_numbers_do():
    X, y, a, _ = pool_of(THREE)
    model = RegularisedClassifier().fit(X, np.where(y == 1, "yes", "no"), sensitive_features=np.where(a == 1, "w", "m"))
    np.testing.assert_array_equal(model.classes_, ["no", "yes"])
    np.testing.assert_array_equal(model.groups_, ["m", "w"])
    np.testing.assert_allclose(model.theta_, LEARNERS["regularised"]["theta"], atol=2e-5)


def test_weights_reach_the_estimator_and_are_refused_where_it_takes_none():
    X, y, _, s = pool_of(ALL)
    weights = np.where(s == 2, 0.0, 1.0)
    weighted = NaiveClassifier(LogisticRegression()).fit(X, y, sources=s, sample_weight=weights)
    np.testing.assert_allclose(
        weighted.estimator_.coef_, LogisticRegression().fit(X[s != 2], y[s != 2]).coef_, atol=1e-3
    )
    with pytest.raises(TypeError, match="takes no sample_weight"):
        NaiveClassifier().fit(X, y, sources=s, sample_weight=weights)


def test_metadata_routing_hands_on_what_is_asked_for():
    from sklearn import config_context

    X, y, a, s = pool_of(ALL)
    with config_context(enable_metadata_routing=True):
        inner = RegularisedClassifier().set_fit_request(sensitive_features=True)
        routed = OracleClassifier(inner, clean=[0, 1, 3]).fit(X, y, sensitive_features=a, sources=s)
    plain = OracleClassifier(RegularisedClassifier(), clean=[0, 1, 3]).fit(X, y, sensitive_features=a, sources=s)
    np.testing.assert_array_equal(routed.estimator_.theta_, plain.estimator_.theta_)


def with_groups(kind: type[BaseEstimator]) -> type[BaseEstimator]:
    """The estimator with groups of its own making, since the checks of scikit-learn bring none."""

    def fit(self, X, y):
        return kind.fit(self, X, y, sensitive_features=np.arange(_num_samples(X)) // 2 % 2)

    name = f"{kind.__name__}WithGroups"
    made = type(name, (kind,), {"fit": fit, "__module__": __name__, "__qualname__": name})
    globals()[name] = made  # so that it can be pickled
    return made


class PostprocessedWithGroups(PostprocessedClassifier):
    """Postprocessing by a group that far digits of the first column decide, and that is written into that column.

    The checks of scikit-learn bring neither groups nor a column that holds them.
    """

    def _with_groups(self, X):
        try:
            values = np.array(X)
            values = values if values.dtype.kind == "c" else values.astype(np.float64)
        except (TypeError, ValueError):
            return X, None  # to be refused as it is, as all below
        if values.dtype.kind == "c" or values.ndim != 2 or not values.size or not np.isfinite(values).all():
            return X, None
        a = np.floor(np.abs(values[:, 0]) * 10001).astype(int) % 2
        values[:, 0] = a
        return (type(X)(values, columns=X.columns, index=X.index) if hasattr(X, "iloc") else values), a

    def fit(self, X, y):
        X, a = self._with_groups(X)
        return super().fit(X, y, sensitive_features=a)

    def decision_function(self, X):
        return super().decision_function(self._with_groups(X)[0])


@parametrize_with_checks(
    [
        UnawareClassifier(),
        with_groups(DROClassifier)(steps=200, random_state=0),
        PostprocessedWithGroups(),
        PostprocessedWithGroups(paper_compat=True),
        with_groups(RegularisedClassifier)(),
        with_groups(AdversarialClassifier)(steps=200),
        with_groups(HTERMClassifier)(),
        with_groups(ResampledClassifier)(random_state=0),
        NaiveClassifier(),
        OracleClassifier(),
        KonstantinovClassifier(),
        RobustEnsembleClassifier(),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_every_public_learner_is_exported():
    assert {kind for kind in dir(sources) if kind.endswith("Classifier")} <= set(sources.__all__)
