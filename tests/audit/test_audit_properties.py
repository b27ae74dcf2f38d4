"""What must hold for any audit: invariances of bias amplification, exact gaps, curves, self-audits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.audit.worlds import world

import tamis
from tamis import audit
from tamis.audit import DEFAULT_POLICY, Labels, Policy, Rule, TrainCounts
from tamis.audit._aggregate import aggregate
from tamis.audit._bootstrap import _exact_sums, _normal_sums, draw_sums
from tamis.audit._patterns import patterns_of
from tamis.audit._reasons import Value

COUNTS = st.lists(st.integers(0, 60), min_size=8, max_size=8).map(lambda c: np.array(c).reshape(2, 2, 2))
TRAIN = TrainCounts(60, 100, 40, 100)


@settings(deadline=None, max_examples=50)
@given(COUNTS)
def test_perfect_predictions_amplify_nothing(table):
    perfect = np.zeros_like(table)
    perfect[:, 0, 0], perfect[:, 1, 1] = table[:, 0].sum(axis=1), table[:, 1].sum(axis=1)
    found = audit.bias_amplification(perfect, TRAIN)
    assert found.reason == "too_few_positives" if perfect[:, 1, 1].min() < 10 else found.value == pytest.approx(0)


@settings(deadline=None, max_examples=50)
@given(COUNTS, st.integers(2, 5))
def test_duplicating_all_rows_changes_nothing(table, times):
    once, again = (
        audit.bias_amplification(table, TRAIN, min_positives=0),
        audit.bias_amplification(times * table, TRAIN, min_positives=0),
    )
    assert once.reason == again.reason
    assert once.value == pytest.approx(again.value, nan_ok=True)


@settings(deadline=None, max_examples=50)
@given(COUNTS)
def test_exchanging_the_groups_turns_the_direction_and_leaves_the_value(table):
    there = audit.bias_amplification(table, TRAIN)
    back = audit.bias_amplification(table[::-1], TrainCounts(40, 100, 60, 100))
    assert there.value == pytest.approx(back.value, nan_ok=True)
    assert there.reason == back.reason
    if there.toward is not None:
        assert back.toward == 1 - there.toward


@settings(deadline=None, max_examples=50)
@given(COUNTS)
def test_bias_amplification_stays_within_its_bounds(table):
    found = audit.bias_amplification(table, TRAIN)
    if not found.reason:
        low, high = audit.ba_bounds(table, found.toward)
        assert low - 1e-12 <= found.value <= high + 1e-12
        assert found.headroom == high


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 80), st.integers(1, 80), st.integers(0, 80), st.integers(1, 80))
def test_the_gap_of_training_rates_is_compared_exactly(a1, n1, a0, n0):
    a1, a0 = min(a1, n1), min(a0, n0)
    table = np.full((2, 2, 2), 20)
    found = audit.bias_amplification(table, TrainCounts(a1, n1, a0, n0))
    one, zero = Fraction(a1, n1), Fraction(a0, n0)
    small = min(one, zero)
    has_gap = one != zero and (small == 0 or abs(one - zero) / small >= Fraction(1, 10))
    assert (found.reason == "") == has_gap


def test_floating_point_would_drop_most_gaps_of_exactly_a_tenth():
    """The fault that whole numbers mend: (.11 - .1) / .1 is below .1 in floating point."""
    dropped, exact = 0, 0
    for n1 in range(10, 200, 10):
        for a0 in range(1, 10):
            a1 = Fraction(11 * a0, 10) * n1 / 10
            if a1.denominator == 1 and a1 <= n1:
                exact += 1
                dropped += (int(a1) / n1 - a0 / 10) / (a0 / 10) < 0.1
                found = audit.bias_amplification(np.full((2, 2, 2), 20), TrainCounts(int(a1), n1, a0, 10))
                assert found.reason == ""
    assert dropped > 0
    assert exact > dropped


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=60, unique=True), st.data())
def test_calibrated_thresholds_predict_exactly_as_many_positives_as_there_are(logits, data):
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(logits), max_size=len(logits))))
    found = audit.calibrate_threshold_report(np.array(logits), labels)
    assert (np.array(logits) > found.threshold).sum() == labels.sum() == found.achieved
    assert not found.tied


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_asking_more_never_asks_less_and_ends_at_the_reference(seed):
    rng = np.random.default_rng(seed)
    prob, reference = rng.random(40), rng.random(40) < 0.5
    own = prob > 0.5
    found = [audit.cascade(prob, own, reference, h) for h in audit.HALF_WIDTHS]
    fractions = [asked.fraction for asked in found]
    assert fractions == sorted(fractions)
    assert found[0].predictions.tolist() == own.tolist()
    assert found[-1].predictions.tolist() == reference.tolist()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 30))
def test_patterns_are_the_distinct_rows(seed, n, width):
    columns = np.random.default_rng(seed).integers(0, 2, (width, n)).astype(np.uint8)
    found = patterns_of(list(columns))
    assert (found.values[found.code] == columns.T).all()
    assert len(np.unique(found.values, axis=0)) == len(found.values)


def test_both_ways_of_drawing_a_table_have_the_multinomials_moments():
    rng = np.random.default_rng(3)
    counts = np.array([900, 4000, 3, 1, 0, 60, 2500, 7, 1200])
    weights = rng.integers(0, 2, (9, 3)).astype(float)
    mean = counts @ weights
    covariance = (weights * counts[:, None]).T @ weights - np.outer(mean, mean) / counts.sum()
    for draw in (_exact_sums, _normal_sums):
        sums = draw(counts, weights, 20_000, np.random.default_rng(1))
        assert sums.mean(axis=0) == pytest.approx(mean, rel=0.01)
        assert np.cov(sums.T) == pytest.approx(covariance, rel=0.05, abs=0.03 * covariance.max())


def test_an_empty_table_draws_zeros():
    assert not draw_sums(np.zeros(2, np.int64), np.ones((2, 3)), 5, np.random.default_rng(0)).any()


def test_with_the_common_support_a_lost_pair_leaves_every_mean():
    values = {"dense": [Value(0.1), Value(0.2)], "a": [Value(float("nan"), "never_predicted"), Value(0.4)]}
    found = aggregate(["p", "q"], values)
    assert found.means["dense"].value == 0.2
    assert found.lost == {"p": ("a", "never_predicted")}
    assert aggregate(["p"], {"a": [Value(float("nan"), "never_predicted")]}).means["a"].reason == "no_pairs"


def self_audit(**more):
    given = world(n=300, seeds=2, levels=(0.9,), clusters=80) | more
    given["compressed"] = [replace(model, level=0.9, method="gmp") for model in given["dense"]]
    return tamis.audit(**given)


def test_a_model_against_itself_changes_nothing_and_meets_every_policy():
    report = self_audit()
    for pair in report.content["pairs"]:
        if not pair["reason"]:
            assert pair["change"]["mean"] == 0
            for interval in pair["intervals"]:
                assert (interval["lo"], interval["hi"]) == (0, 0)
    for row in report.content["exemplars"]:
        assert row["rows_total"] == 0
    limits = {
        "ba_change": "each",
        "psi": "worst",
        "accuracy_drop": "each",
        "uncertainty_rise": "mean",
        "cie_share": "each",
    }
    limits |= {"auc_drop": "each", "ece_rise": "each"}
    rules = [Rule(metric, max=0.0, over=over) for metric, over in limits.items()]
    strictest = Policy((*rules, Rule("ba_change", max=0.0, over="mean"), Rule("tcb_relative", min=1.0)), strict=True)
    for policy in (DEFAULT_POLICY, strictest):
        gate = report.check(policy)
        assert gate.exit_code == 0, [row["words"] for row in gate.rows if row["state"] != "pass"]
        assert gate.state == "pass"


def shuffled(labels: Labels, seed: int) -> Labels:
    rows = np.random.default_rng(seed).permutation(len(labels.values))
    return Labels(labels.values[rows], labels.ids[rows], labels.names)


def test_rows_are_matched_by_id_in_any_order():
    given = world(n=200, seeds=1, levels=(0.98,))
    wanted = tamis.audit(**given).content
    model = given["compressed"][0]
    rows = np.random.default_rng(5).permutation(200)
    moved = replace(model, logits=model.logits[rows], ids=model.ids[rows])
    found = tamis.audit(**given | {"compressed": [moved]}).content
    for key in ("pairs", "attribute_values", "curves", "exemplars", "countermeasures"):
        assert found[key] == wanted[key]
    relabelled = tamis.audit(**given | {"labels": shuffled(given["labels"], 7)}).content
    assert [p["counts"] for p in relabelled["pairs"]] == [p["counts"] for p in wanted["pairs"]]


def test_columns_are_matched_by_name():
    given = world(n=200, seeds=1, levels=(0.98,))
    model = given["compressed"][0]
    turned = replace(model, logits=model.logits[:, ::-1], names=model.names[::-1])
    assert tamis.audit(**given | {"compressed": [turned]}).content["pairs"] == tamis.audit(**given).content["pairs"]


def test_equal_inputs_give_equal_bytes_on_any_number_of_threads(monkeypatch):
    given = world(n=200, seeds=3, levels=(0.9, 0.98), clusters=50, valid=True)
    texts = []
    for threads in (1, 3):
        monkeypatch.setattr("tamis.audit._compare.usable_threads", lambda threads=threads: threads)
        texts.append(tamis.audit(**given).to_json())
    assert texts[0] == texts[1]
