"""Student's t against scipy's values, and intervals against hand-made ones."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.study import estimate, paired_difference
from tamis.study._statistics import t_probability, t_quantile

# scipy.stats.t.ppf(0.975, freedom), scipy 1.17.1
SCIPY = {
    1: 12.706204736174694,
    2: 4.302652729749462,
    3: 3.1824463052837078,
    4: 2.7764451051977934,
    9: 2.262157162798205,
    29: 2.045229642132703,
}


@pytest.mark.parametrize("freedom", SCIPY)
def test_quantiles_are_those_of_scipy(freedom):
    assert t_quantile(0.975, freedom) == pytest.approx(SCIPY[freedom], rel=1e-12)


@given(st.floats(-50, 50), st.integers(1, 60))
def test_the_distribution_is_symmetric(t, freedom):
    assert t_probability(t, freedom) + t_probability(-t, freedom) == pytest.approx(1, abs=1e-12)


def test_an_interval_of_three_values_is_the_textbooks():
    # mean 2, deviation 1, so 4.3027 / sqrt(3)
    found = estimate([1.0, 2.0, 3.0])
    assert (found.n, found.mean) == (3, 2.0)
    assert found.half == pytest.approx(SCIPY[2] / math.sqrt(3), rel=1e-12)
    assert found.high - found.low == pytest.approx(2 * found.half)


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert estimate([0.5]).mean == 0.5
    assert math.isnan(estimate([0.5]).half)
    assert estimate([]).n == 0
    assert math.isnan(estimate([]).mean)


def test_values_that_were_not_measured_are_left_out():
    assert estimate([1.0, math.nan, 3.0]) == estimate([1.0, 3.0])


def test_a_paired_difference_is_scipys_ttest_rel():
    # scipy.stats.ttest_rel([.91, .93, .90, .95], [.90, .91, .91, .92]): p and confidence interval
    found = paired_difference(dict(enumerate([0.91, 0.93, 0.90, 0.95])), dict(enumerate([0.90, 0.91, 0.91, 0.92])))
    assert found.p_value == pytest.approx(0.23944259863600298, rel=1e-9)
    assert found.estimate.low == pytest.approx(-0.014675308837960133, rel=1e-9)
    assert found.estimate.high == pytest.approx(0.0396753088379601, rel=1e-9)


def test_only_common_seeds_are_paired():
    found = paired_difference({0: 0.9, 1: 0.8, 5: 0.1}, {0: 0.8, 1: 0.7, 9: 0.9})
    assert found.estimate.n == 2
    assert found.estimate.mean == pytest.approx(0.1)


def test_one_pair_has_no_p_value_and_equal_differences_have_none():
    assert math.isnan(paired_difference({0: 0.9}, {0: 0.8}).p_value)
    assert math.isnan(paired_difference({0: 0.9, 1: 0.8}, {0: 0.9, 1: 0.8}).p_value)
    assert math.isnan(paired_difference({0: 0.9, 1: 0.7}, {0: 0.6, 1: 0.4}).p_value)
    assert paired_difference({0: 0.75, 1: 0.75}, {0: 0.5, 1: 0.5}).estimate.half == 0
