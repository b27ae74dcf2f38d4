"""Counts of surviving weights."""

from __future__ import annotations

import pytest

from tamis.errors import UsageError
from tamis.sparsity import check_sparsity, iterative_counts, keep_count, nominal_sparsity, update_count
from tamis.sparsity._counts import floor_count


def test_keep_count_reproduces_every_golden_row(pruning_vectors):
    for row in pruning_vectors["keep_count"]:
        assert keep_count(row["n"], row["s"]) == row["n_keep"], row


def test_a_plain_floor_would_miss_the_golden_rows_with_binary_rounding():
    assert 100 - int(0.29 * 100) == 72
    assert keep_count(100, 0.29) == 71


@pytest.mark.parametrize("n", [-1, -100])
def test_negative_number_of_weights_is_refused(n):
    with pytest.raises(UsageError, match="at least 0"):
        keep_count(n, 0.5)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), float("inf")])
def test_keep_count_refuses_what_is_no_fraction(value):
    with pytest.raises(UsageError, match=r"\[0, 1\]"):
        keep_count(10, value)


@pytest.mark.parametrize("value", [1.0, -1e-9, 2, float("nan"), "0.5", None, True])
def test_check_sparsity_refuses_everything_outside_zero_to_one(value):
    with pytest.raises(UsageError, match=r"\[0, 1\)"):
        check_sparsity(value)


def test_check_sparsity_recognises_percent():
    with pytest.raises(UsageError, match=r"90 percent write 0\.9"):
        check_sparsity(90)


@pytest.mark.parametrize("value", [0, 0.0, 0.9, 0.999])
def test_check_sparsity_returns_a_float(value):
    assert check_sparsity(value) == value
    assert isinstance(check_sparsity(value), float)


def test_iterative_counts_reproduce_the_golden_levels(pruning_vectors):
    golden = pruning_vectors["imp"]["exact_counts"]
    levels = len(golden["remaining"]) - 1
    assert iterative_counts(golden["n0"], pruning_vectors["imp"]["fraction"], levels) == golden["remaining"]


def test_nominal_sparsity_reproduces_the_golden_levels(pruning_vectors):
    for level, live in enumerate(pruning_vectors["imp"]["nominal_density"]):
        assert 1.0 - nominal_sparsity(level, 0.2) == pytest.approx(live, rel=1e-9)


def test_iterative_counts_refuse_a_negative_level():
    with pytest.raises(UsageError, match="levels"):
        iterative_counts(10, 0.2, -1)


def test_floor_is_one_weight_at_least_and_nothing_when_switched_off():
    assert [floor_count(n, 0.9, 0.2) for n in (0, 1, 40, 50, 100, 1000)] == [0, 1, 1, 1, 2, 20]
    assert floor_count(1000, 0.9, 0.0) == 0


@pytest.mark.parametrize(("live", "fraction"), [(-1, 0.1), (10, 1.1), (10, -0.1)])
def test_update_count_refuses_what_cannot_be_exchanged(live, fraction):
    with pytest.raises(UsageError):
        update_count(live, fraction)
