"""The meta-estimator: any classifier behind the sieve."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from tamis.sources import FLEA, FLEAClassifier


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
            ours.set_score_request(sample_weight=False)
            folds = StratifiedKFold(2, shuffle=True, random_state=0)  # every fold needs every source
            search = GridSearchCV(ours, {"estimator__C": [0.1, 10.0]}, cv=folds)
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
