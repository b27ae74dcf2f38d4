import json
import math
from pathlib import Path

import pytest

from tamis.errors import UsageError
from tamis.transfer import Model, best_of_kinds, effects, outcomes_of, score_of, verdicts
from tamis.transfer._upstream import finite_log_odds

from .conftest import made_up

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/transfer_small.json").read_text())
SPARSE = Model("net", "linear", "acdc", 0.8)


def two(dense, sparse, **extra):
    return outcomes_of(made_up({("dense", 0.0): dense, ("acdc", 0.8): sparse}, **extra))


@pytest.mark.parametrize("case", GOLDEN["relative_error"][:2], ids=lambda case: f"{case['acc_sparse']}")
def test_the_worked_cells_have_their_effects(case):
    found = effects(two({"a": [case["acc_dense"]]}, {"a": [case["acc_sparse"]]}), SPARSE)
    assert found.on("relative_error")[0] == pytest.approx(case["r"], abs=1e-6)
    assert found.on("log_odds")[0] == pytest.approx(case["log_odds_difference"], abs=1e-6)
    assert found.on("log_error_ratio")[0] == pytest.approx(case["log_error_ratio"], abs=1e-6)


def test_a_hand_checked_cell_of_the_paper():
    # IST-DASLab/sparse-imagenet-transfer, ResNet50 linear on aircraft: the mean of five seeds is .49158 for dense and
    # .55116 for AC/DC at 80 %; (1 - .55116 - 1 + .49158) / (1 - .49158) = -.05958 / .50842
    found = effects(two({"aircraft": [0.49158]}, {"aircraft": [0.55116]}), SPARSE)
    assert found.on("relative_error")[0] == pytest.approx(-0.05958 / 0.50842, abs=1e-12)
    assert found.on("relative_error")[0] == pytest.approx(-0.117187, abs=1e-6)
    assert found.on("log_odds")[0] == pytest.approx(0.239042, abs=1e-6)


def test_a_dense_baseline_without_error_is_refused_by_name():
    with pytest.raises(UsageError, match="b: the baseline has no error at all"):
        score_of(two({"a": [0.5], "b": [1.0]}, {"a": [0.5], "b": [0.99]}), SPARSE)


def test_a_missing_cell_is_named_and_never_averaged_over():
    outcomes = two({"a": [0.5], "b": [0.6]}, {"a": [0.5]})
    assert outcomes.missing() == ("net linear acdc 80 % on b",)
    with pytest.raises(UsageError, match="missing cell: net linear acdc 80 % on b"):
        score_of(outcomes, SPARSE)


def test_a_missing_dense_baseline_is_named():
    outcomes = outcomes_of(made_up({("acdc", 0.8): {"a": [0.5]}}))
    with pytest.raises(UsageError, match="found 0 dense baselines of net linear"):
        score_of(outcomes, SPARSE)


def test_the_score_of_three_tasks_worked_by_hand():
    # errors: dense .5 .4 .2; sparse .45 .6 .2; r = -.1, +.5, 0
    dense, sparse = {"aircraft": [0.5], "b": [0.6], "c": [0.8]}, {"aircraft": [0.55], "b": [0.4], "c": [0.8]}
    found = score_of(two(dense, sparse), SPARSE)
    assert found.mean == pytest.approx(0.4 / 3)
    assert found.sd == pytest.approx(math.sqrt(((0.1 + 0.4 / 3) ** 2 + (0.5 - 0.4 / 3) ** 2 + (0.4 / 3) ** 2) / 2))
    assert found.se == pytest.approx(found.sd / math.sqrt(3))
    assert found.t_high - found.mean == pytest.approx(4.302652729911275 * found.se)
    assert found.median == pytest.approx(0.0, abs=1e-12)
    assert found.geometric == pytest.approx((0.9 * 1.5 * 1.0) ** (1 / 3) - 1)
    assert found.ratio_of_means == pytest.approx(1.25 / 1.1 - 1)
    assert found.wins == 1
    assert (found.worst_task, found.worst) == ("b", pytest.approx(0.5))
    assert found.specialised == pytest.approx(-0.1)
    assert found.general == pytest.approx(0.25)
    assert (found.loo_low, found.loo_low_without) == (pytest.approx(-0.05), "b")
    assert (found.loo_high, found.loo_high_without) == (pytest.approx(0.25), "aircraft")


def test_a_model_without_error_on_a_task_has_a_score_and_tests_but_no_geometric_mean():
    outcomes = two({"a": [0.5], "b": [0.9], "c": [0.8]}, {"a": [0.5], "b": [1.0], "c": [0.7]})
    found = score_of(outcomes, SPARSE)
    assert found.mean == pytest.approx((0 - 1 + 0.5) / 3)
    assert math.isnan(found.geometric)
    assert math.isnan(found.log_odds)  # the number of test images is not known
    [verdict] = verdicts(outcomes, resamples=100)
    # as ranks: one task better by more than the other is worse, and a tie
    assert {test.p for test in verdict.tests.values()} == {1.0}
    assert {test.n for test in verdict.tests.values()} == {2}


def test_log_odds_of_a_perfect_task_are_half_a_test_image_away_and_flagged():
    outcomes = two({"a": [0.5], "b": [0.9]}, {"a": [0.5], "b": [1.0]}, n_test=100)
    found = score_of(outcomes, SPARSE)
    assert found.clipped == ("b",)
    assert found.log_odds == pytest.approx((math.log(0.995 / 0.005) - math.log(9)) / 2)


def test_the_correlation_with_upstream_needs_the_number_of_test_images_of_a_perfect_task():
    outcomes = two({"a": [0.5], "b": [0.9]}, {"a": [0.5], "b": [1.0]})
    with pytest.raises(UsageError, match="b: the log-odds of 1 need the number of test images"):
        finite_log_odds(outcomes, SPARSE, "b")


def test_one_task_has_a_mean_and_no_standard_error():
    found = score_of(two({"a": [0.5]}, {"a": [0.4]}), SPARSE)
    assert found.mean == pytest.approx(0.2)
    assert math.isnan(found.se)
    assert math.isnan(found.t_low)
    assert math.isnan(found.loo_low)


def test_the_best_of_linear_and_full_is_named_per_task():
    rows = made_up({("acdc", 0.8): {"a": [0.5], "b": [0.7]}})
    rows += made_up({("acdc", 0.8): {"a": [0.6], "b": [0.6]}}, kind="full")
    assert best_of_kinds(outcomes_of(rows), "net") == {("acdc", 0.8): {"a": (0.6, "full"), "b": (0.7, "linear")}}
    rows = made_up({("acdc", 0.8): {"a": [0.5]}}) + made_up({("acdc", 0.8): {"a": [0.5]}}, kind="full")
    assert best_of_kinds(outcomes_of(rows), "net") == {("acdc", 0.8): {"a": (0.5, "full")}}  # equal is not worse
