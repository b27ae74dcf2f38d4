"""Distributions for any layers: totals, bounds, both sparsities."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.sparsity import ERK, Budget, Uniform, achieved_sparsity, keep_count

EXAMPLES = settings(max_examples=80, deadline=None)

linear = st.tuples(st.integers(1, 60), st.integers(1, 60))
conv = st.tuples(st.integers(1, 24), st.integers(1, 24), st.sampled_from([1, 3, 5]), st.sampled_from([1, 3]))
networks = st.lists(st.one_of(linear, conv), min_size=1, max_size=8)
fractions = st.floats(0.0, 0.999)


def named(shapes):
    return {f"l{i}": shape for i, shape in enumerate(shapes)}


def meta(shapes):
    return {name: torch.empty(shape, device="meta") for name, shape in named(shapes).items()}


def target(shapes, sparsity):
    return sum(keep_count(math.prod(shape), sparsity) for shape in shapes)


@EXAMPLES
@given(networks, fractions, st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.booleans())
def test_erk_meets_its_target_although_layers_saturate(shapes, sparsity, power, kernel):
    erk = ERK(power=power, kernel=kernel)
    solution = erk.solve(named(shapes), sparsity)
    sizes = {name: math.prod(shape) for name, shape in named(shapes).items()}
    live = sum(solution.live_fractions[name] * n for name, n in sizes.items())
    assert live == pytest.approx(target(shapes, sparsity), rel=1e-9, abs=1e-6)
    assert all(0.0 <= fraction <= 1.0 for fraction in solution.live_fractions.values())
    excess = sum(erk.keep_counts(meta(shapes), sparsity).values()) - target(shapes, sparsity)
    assert 0 <= excess < max(2, len(shapes))


@EXAMPLES
@given(networks, fractions)
def test_erk_gives_layers_with_a_larger_raw_weight_no_smaller_share(shapes, sparsity):
    fractions_of = ERK().solve(named(shapes), sparsity).live_fractions
    raw = {name: sum(shape) / math.prod(shape) for name, shape in named(shapes).items()}
    ordered = sorted(raw, key=raw.__getitem__)
    shares = [fractions_of[name] for name in ordered]
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(shares))


@EXAMPLES
@given(networks, fractions, st.booleans(), st.booleans())
def test_dense_ends_are_not_counted_by_the_sparsity_over_pruned_layers(shapes, sparsity, first, last):
    for distribution in (Uniform(first_dense=first, last_dense=last), ERK(first_dense=first, last_dense=last)):
        scores = meta(shapes)
        counts = distribution.keep_counts(scores, sparsity)
        dense = distribution.dense_layers(list(scores))
        total = {name: t.numel() for name, t in scores.items()}
        achieved = achieved_sparsity(counts, total, dense)
        assert all(counts[name] == total[name] for name in dense)
        assert achieved.over_all <= achieved.over_pruned + 1e-12
        pruned = sum(n for name, n in total.items() if name not in dense)
        if pruned:
            # zeros of a layer round down in the target, and once more in the counts of ERK
            assert -1e-6 <= sparsity - achieved.over_pruned < 2 * len(shapes) / pruned


@EXAMPLES
@given(networks, st.data())
def test_budgets_ramp_together_and_never_exceed_their_table(shapes, data):
    scores = meta(shapes)
    table = {name: data.draw(st.floats(0.0, 0.99)) for name in scores}
    budget = Budget(table)
    sizes = {name: t.numel() for name, t in scores.items()}
    overall = budget.overall(sizes)
    final = budget.keep_counts(scores, overall)
    assert final == {name: keep_count(n, table[name]) for name, n in sizes.items()}
    halfway = budget.keep_counts(scores, overall / 2)
    assert all(final[name] <= halfway[name] <= sizes[name] for name in sizes)
    assert abs(sum(halfway.values()) - (1 - overall / 2) * sum(sizes.values())) <= len(sizes) + 1e-3
