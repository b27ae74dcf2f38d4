"""scikit-learn, SciPy and Fairlearn where they define the same quantity, and brute force where nobody does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from tests.audit.worlds import world

import tamis
from tamis import audit
from tamis.audit import group_report, group_table
from tamis.audit._ranks import row_ranks, spearman
from tamis.audit._student import quantile, two_sided

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_auc_is_scikit_learns_with_ties_and_negative_zero(dtype, decimals):
    y = RNG.random(500) < 0.3
    score = np.round(RNG.normal(size=500) + y, decimals).astype(dtype)
    score[:3] = [0.0, -0.0, 0.0]
    assert audit.auc(y, score).value == pytest.approx(roc_auc_score(y, score), abs=1e-12)


def test_interdependence_is_the_r_squared_of_a_linear_regression():
    predictions = (RNG.normal(size=(200, 5)) + RNG.normal(size=(200, 1)) > 0.3).astype(np.uint8)
    for column, found in enumerate(audit.interdependence(predictions)):
        others = np.delete(predictions, column, axis=1)
        model = LinearRegression().fit(others, predictions[:, column])
        assert found.value == pytest.approx(model.score(others, predictions[:, column]), abs=1e-9)


def test_collinear_columns_explain_each_other_and_constant_ones_are_not_called_explained():
    a = RNG.random(50) < 0.5
    found = audit.interdependence(np.stack([a, a, ~a, np.zeros(50, bool)], axis=1))
    assert [value.value for value in found[:3]] == pytest.approx([1, 1, 1])
    assert found[3].reason == "constant_prediction"


def test_one_attribute_has_no_others_to_be_explained_by():
    assert audit.interdependence(np.array([[0], [1]]))[0].value == 0


def test_group_rates_are_fairlearns():
    y, predicted, group = (RNG.random(400) < share for share in (0.4, 0.5, 0.3))
    report = group_report(group_table(group.astype(int), y.astype(int), predicted))
    frame = MetricFrame(
        metrics={
            "accuracy": accuracy_score,
            "fpr": false_positive_rate,
            "fnr": false_negative_rate,
            "selection_rate": selection_rate,
        },
        y_true=y,
        y_pred=predicted,
        sensitive_features=group,
    )
    for name, values in report.rates.items():
        assert [value.value for value in values] == pytest.approx(list(frame.by_group[name]))
        assert report.differences[name].value == pytest.approx(frame.difference()[name])
    parity = demographic_parity_difference(y, predicted, sensitive_features=group)
    assert report.differences["selection_rate"].value == pytest.approx(parity)


def test_a_metric_frame_of_a_report_is_what_the_report_says():
    report = tamis.audit(**world(n=300, seeds=2, levels=(0.98,)))
    frame = report.to_metric_frame("Hat", "gmp@sparsity=0.98", seed=1, accuracy=accuracy_score)
    rows = [r for r in report.content["attribute_values"] if r["condition"] == "gmp@sparsity=0.98"]
    wanted = next(r for r in rows if r["attribute"] == "Hat")["metrics"]["accuracy"]["seeds"][1]["value"]
    assert frame.overall["accuracy"] == pytest.approx(wanted)
    assert list(frame.sensitive_levels) == ["Male", "Young"]


@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_ranks_are_scipys(width, n, seed):
    values = np.random.default_rng(seed).integers(0, 4, (n, width)).astype(float)
    assert row_ranks(values).tolist() == stats.rankdata(values, axis=1).tolist()


def test_spearman_and_its_p_are_scipys():
    a, b = RNG.normal(size=(2, 18))
    rho, p = spearman(a, b)
    wanted = stats.spearmanr(a, b)
    assert rho.value == pytest.approx(wanted.statistic)
    assert p.value == pytest.approx(wanted.pvalue)


@given(st.floats(0.1, 60), st.floats(1, 200))
@settings(max_examples=60, deadline=None)
def test_students_t_is_scipys_for_any_freedom(t, freedom):
    assert two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("freedom", [1, 2.5, 4, 7.3, 30])
def test_quantiles_of_student_are_scipys(freedom):
    assert quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_seed_intervals_are_those_of_scipys_t_tests():
    dense, compressed = RNG.normal(0.03, 0.01, 6), RNG.normal(0.05, 0.01, 6)
    paired = audit.seed_interval(list(dense), list(compressed))
    wanted = stats.ttest_rel(compressed, dense)
    assert paired.interval is not None
    assert [paired.interval.lo, paired.interval.hi] == pytest.approx(list(wanted.confidence_interval(0.95)))
    assert paired.p.value == pytest.approx(wanted.pvalue)
    free = audit.unpaired_seed_interval(list(dense), list(compressed[:5]))
    welch = stats.ttest_ind(compressed[:5], dense, equal_var=False)
    assert free.interval is not None
    assert [free.interval.lo, free.interval.hi] == pytest.approx(list(welch.confidence_interval(0.95)))


def test_four_seeds_show_dots_only():
    found = audit.seed_interval([0.1] * 4, [0.2, 0.3, 0.2, 0.3])
    assert found.interval is None
    assert found.p.reason == "too_few_seeds"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_benjamini_hochberg_is_scipys(p):
    assert audit.bh_adjust(p) == pytest.approx(list(stats.false_discovery_control(p)))


def test_welch_t_of_the_recall_change_is_scipys():
    recall, accuracy = RNG.random((2, 5)), RNG.random((2, 5))
    found = audit.normalised_recall_change(recall[0], accuracy[0], recall[1], accuracy[1])
    wanted = stats.ttest_ind(recall[0] - accuracy[0], recall[1] - accuracy[1], equal_var=False)
    assert (found.t.value, found.p.value) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert audit.normalised_recall_change([0.5], [0.6], [0.4], [0.6]).t.reason == "too_few_seeds"


def test_calibration_error_is_its_definition():
    prob, y = RNG.random(300), RNG.random(300) < 0.4
    total = 0.0
    for bin_ in range(10):
        inside = (prob >= bin_ / 10) & (prob < (bin_ + 1) / 10)
        total += inside.mean() * abs(prob[inside].mean() - y[inside].mean()) if inside.any() else 0
    assert audit.binned_ece(prob, y).value == pytest.approx(total, abs=1e-9)


def test_all_rows_drawn_again_and_again_give_the_interval_of_the_table():
    """The multinomial bootstrap of the table against resampling rows, which is what it stands for."""
    n = 400
    group, y = RNG.random(n) < 0.5, RNG.random(n) < 0.5
    dense = np.where(RNG.random(n) < 0.9, y, ~y)
    compressed = np.where(RNG.random(n) < 0.7, dense, group)
    table = audit.pair_table(group.astype(int), y.astype(int), dense, compressed)
    found = audit.paired_delta_ba(table, toward=1, n_boot=4000)
    draws = []
    for _ in range(3000):
        rows = RNG.integers(0, n, n)
        share = [group[rows][side[rows]].mean() for side in (dense, compressed)]
        draws.append(share[1] - share[0])
    assert found.interval is not None
    wanted = np.quantile(draws, [0.025, 0.975])
    width = wanted[1] - wanted[0]
    assert [found.interval.lo, found.interval.hi] == pytest.approx(list(wanted), abs=0.06 * width)
    assert math.isclose(found.delta.value, group[compressed].mean() - group[dense].mean(), abs_tol=1e-12)
