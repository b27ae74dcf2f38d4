"""Schedules for any numbers: they reach their target, stay inside their bounds, leave no gap."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.errors import UsageError
from tamis.sparsity import (
    acdc_phases,
    check_phases,
    compress_at,
    cosine_decay,
    cubic,
    decompress_at,
    exponential_ramp,
    gmp_events,
    iterative_counts,
    phase_at,
    power_decay,
    scale_phases,
    warmup_cosine,
)

EXAMPLES = settings(max_examples=100, deadline=None)

fractions = st.floats(0.0, 0.999)
lengths = st.integers(1, 30)


@EXAMPLES
@given(st.integers(-1000, 1000), st.integers(0, 1000), fractions, fractions, st.integers(0, 500))
def test_every_ramp_ends_exactly_at_its_target(start, length, initial, final, later):
    end = start + length
    assert cubic(end + later, start, end, initial, final) == final
    assert gmp_events(start, end, 7, initial, final)[-1].sparsity == final
    assert exponential_ramp(1.0 + later, final) == final
    assert cosine_decay(end + later, start, end, initial) == 0.0
    assert power_decay(end + later, start, end, initial, 3.0) == 0.0


@EXAMPLES
@given(st.integers(0, 100), st.integers(1, 100), fractions, fractions)
def test_sparsity_only_rises_from_its_start_to_its_target(start, length, one, other):
    initial, final = sorted((one, other))
    values = [cubic(step, start, start + length, initial, final) for step in range(start - 2, start + length + 3)]
    assert values[0] == initial
    assert all(low <= high + 1e-15 for low, high in pairwise(values))
    ramp = [exponential_ramp(i / 20, final) for i in range(21)]
    assert ramp[0] == 0.0
    assert all(low <= high + 1e-15 for low, high in pairwise(ramp))


@EXAMPLES
@given(st.integers(0, 1000), st.integers(0, 300), st.integers(1, 50), fractions, fractions)
def test_events_rise_strictly_and_lie_at_most_one_interval_apart(start, length, every, initial, final):
    steps = [event.step for event in gmp_events(start, start + length, every, initial, final)]
    assert steps[0] == start
    assert steps[-1] == start + length
    assert all(1 <= b - a <= every for a, b in pairwise(steps))


@EXAMPLES
@given(lengths, lengths, lengths, lengths, lengths, st.integers(0, 12))
def test_built_phases_alternate_without_gaps(warmup, sparse, dense, last_dense, last_sparse, pairs):
    total = warmup + sparse + last_dense + last_sparse + pairs * (sparse + dense)
    phases = acdc_phases(total, warmup, sparse, dense, last_dense, last_sparse)
    assert check_phases(phases) == total
    assert [phase.kind for phase in phases] == ["dense", "sparse"] * (pairs + 2)
    assert phases[-1].length == last_sparse
    assert phases[-2].length == last_dense
    assert len(compress_at(phases)) == len(decompress_at(phases)) + 1 == pairs + 2
    for phase in phases:
        assert phase_at(phases, phase.start) == phase_at(phases, phase.end - 1) == phase


@EXAMPLES
@given(st.integers(1, 400), st.tuples(lengths, lengths, lengths, lengths, lengths))
def test_any_total_is_built_or_refused_with_totals_that_can_be_built(total, parts):
    try:
        assert acdc_phases(total, *parts)[-1].end == total
    except UsageError as error:
        named = [int(word) for word in str(error).rsplit("valid totals are ", 1)[1].split(" and ")]
        assert [acdc_phases(nearest, *parts)[-1].end for nearest in named] == named
        assert total < named[0] or named[0] < total < named[1]


@EXAMPLES
@given(st.integers(1, 500))
def test_phases_in_epochs_become_steps_exactly(steps_per_epoch):
    epochs = acdc_phases(100, 10, 5, 5, 10, 15)
    steps = scale_phases(epochs, 100 * steps_per_epoch)
    assert [(p.start, p.end) for p in steps] == [(p.start * steps_per_epoch, p.end * steps_per_epoch) for p in epochs]


@EXAMPLES
@given(st.integers(2, 300), st.integers(0, 10), st.floats(1e-4, 10.0))
def test_learning_rates_stay_between_zero_and_their_base(total, warmup, base):
    if warmup >= total:
        with pytest.raises(UsageError):
            warmup_cosine(0, total, base, warmup)
        return
    rates = [warmup_cosine(epoch, total, base, warmup) for epoch in range(total)]
    assert all(0.0 < rate <= base * (1 + 1e-12) for rate in rates)
    assert rates[warmup] == base


@EXAMPLES
@given(st.integers(0, 10_000), st.floats(0.0, 0.9), st.integers(0, 20))
def test_iterative_counts_never_remove_less_than_their_share(n, fraction, levels):
    counts = iterative_counts(n, fraction, levels)
    for before, after in pairwise(counts):
        assert 0 <= after <= before
        assert before - after >= fraction * before - 1e-5
        assert before - after < fraction * before + 1
