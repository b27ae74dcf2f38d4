import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tamis.errors import UsageError
from tamis.transfer import holm, signed_rank

CASES = json.loads((Path(__file__).parents[1] / "golden/transfer_small.json").read_text())["wilcoxon"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["x"]))
def test_ranks_and_p_are_those_of_the_vectors(case):
    found = signed_rank(case["x"])
    assert (found.n, found.w_plus, found.p) == (case["n"], case["w_plus"], case["p"])


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_the_p_value_is_that_of_all_sign_patterns(x):
    kept = [value for value in x if value]
    sizes = sorted(map(abs, kept))
    ranks = [sum(i + 1 for i, s in enumerate(sizes) if s == abs(v)) / sizes.count(abs(v)) for v in kept]
    observed = sum(rank for rank, value in zip(ranks, kept, strict=True) if value > 0)
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    low = sum(s <= observed for s in sums)
    high = sum(s >= observed for s in sums)
    found = signed_rank(x)
    assert found.w_plus == observed
    assert found.p == min(1.0, 2 * min(low, high) / len(sums))


def test_without_ties_it_agrees_with_scipy():
    x = [(-1) ** i * (i + 0.5) ** 1.1 for i in range(1, 18)]
    expected = stats.wilcoxon(x, method="exact")
    assert signed_rank(x).p == pytest.approx(expected.pvalue, rel=1e-12)


def test_above_25_pairs_it_is_scipys_normal_approximation():
    x = [math.sin(i) + 0.2 for i in range(40)] + [0.5, 0.5, -0.5]
    expected = stats.wilcoxon(x, method="approx", correction=False)
    assert signed_rank(x).p == pytest.approx(expected.pvalue, rel=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12))
def test_swapping_the_sides_keeps_the_p_value(x):
    assert signed_rank(x).p == signed_rank([-value for value in x]).p


def test_what_is_no_number_is_refused():
    with pytest.raises(UsageError, match="expected numbers"):
        signed_rank([1.0, math.nan])


def test_an_infinite_difference_has_the_highest_rank():
    assert signed_rank([0.3, -math.inf, 0.2]) == signed_rank([0.3, -9.0, 0.2])


def test_only_an_exact_p_value_is_called_exact():
    assert signed_rank([0.1] * 25).exact
    assert not signed_rank([0.1] * 26).exact


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p):
    corrected = holm(p)
    assert all(a >= b for a, b in zip(corrected, p, strict=True))
    assert max(corrected) <= 1
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [corrected[i] for i in order] == sorted(corrected)
    assert corrected[order[0]] == min(1.0, len(p) * p[order[0]])
