"""Ramps of sparsity and of update fractions."""

from __future__ import annotations

import math

import pytest

from tamis.errors import UsageError
from tamis.sparsity import cosine_decay, cubic, exponential_ramp, gmp_events, power_decay, step_of, update_count

REL = 1e-11  # the vectors print twelve significant digits


def case(vectors, name):
    return next(row for row in vectors["gmp_cubic"] if row["case"] == name)


@pytest.mark.parametrize("name", ["plain", "jump_start_0.7", "steps_10k_25k_every_1k", "events_1_5_40", "one_shot"])
def test_cubic_reproduces_the_golden_values(pruning_vectors, name):
    row = case(pruning_vectors, name)
    for step, value in row["values"]:
        assert cubic(step, row["t0"], row["t1"], row["s_i"], row["s_f"]) == pytest.approx(value, rel=REL), step


def test_cubic_is_exact_from_its_end_on(pruning_vectors):
    assert {cubic(step, 0, 7, 0.1, 0.9) for step in (7, 8, 1000)} == {0.9}


def test_events_contain_the_published_ones_and_end_exactly_at_the_target(pruning_vectors):
    row = case(pruning_vectors, "events_1_5_40")
    events = gmp_events(row["t0"], row["t1"], 5, row["s_i"], row["s_f"])
    assert [event.step for event in events[:-1]] == row["events_literal"]
    assert [event.sparsity for event in events[:-1]] == pytest.approx([value for _, value in row["values"]], rel=REL)
    assert events[-1].step == row["t1"]
    assert events[-1].sparsity == row["required_last_value"]


def test_the_published_off_by_one_is_reproduced_by_its_formula_and_avoided_by_ours(pruning_vectors):
    row = case(pruning_vectors, "epochs_20_79_off_by_one")
    assert cubic(79, 20, 80, 0.0, row["s_f"]) == pytest.approx(row["literal_last_value"], rel=REL)
    events = gmp_events(20, 79, 1, 0.0, row["s_f"])
    assert [event.step for event in events] == list(range(20, 80))
    assert events[-1].sparsity == row["required_last_value"]


def test_one_event_is_one_shot():
    (event,) = gmp_events(7, 7, 3, 0.0, 0.9)
    assert (event.step, event.sparsity) == (7, 0.9)


def test_events_that_divide_the_ramp_are_not_doubled_at_its_end():
    assert [event.step for event in gmp_events(0, 20, 5, 0.0, 0.9)] == [0, 5, 10, 15, 20]


@pytest.mark.parametrize(("start", "end", "every"), [(5, 4, 1), (0, 10, 0)])
def test_impossible_events_are_refused(start, end, every):
    with pytest.raises(UsageError, match="start <= end"):
        gmp_events(start, end, every, 0.0, 0.9)


def test_a_ramp_that_ends_before_it_starts_is_refused():
    with pytest.raises(UsageError, match="at or after its start"):
        cubic(10, 9, 8, 0.0, 0.9)


def test_exponential_ramp_reproduces_the_golden_values(pruning_vectors):
    row = case(pruning_vectors, "exponential_ramp_at_sparse_entry")
    for progress, value in row["values"]:
        assert exponential_ramp(progress, row["s_f"]) == pytest.approx(value, rel=REL, abs=0.0)
    assert exponential_ramp(1.0, 0.9) == exponential_ramp(2.0, 0.9) == 0.9
    assert exponential_ramp(-1.0, 0.9) == 0.0


def test_cosine_decay_reproduces_the_golden_values(pruning_vectors):
    golden = pruning_vectors["rigl_drop"]
    for step, value in golden["cosine"]:
        assert cosine_decay(step, 0, golden["T_end"], golden["alpha0"]) == pytest.approx(value, rel=REL)


def test_update_counts_reproduce_the_golden_values(pruning_vectors):
    golden = pruning_vectors["rigl_drop"]
    for step, count in golden["k_for_nnz_1881"]:
        assert update_count(1881, cosine_decay(step, 0, golden["T_end"], golden["alpha0"])) == count


def test_cosine_decay_with_an_offset_measures_from_its_start(pruning_vectors):
    golden = pruning_vectors["rigl_drop"]["offset_case"]
    for step, value in golden["values"]:
        assert cosine_decay(step, golden["t_b"], golden["T_end"], 0.3) == pytest.approx(value, rel=REL, abs=0.0)
    wrong = 0.3 * (1 + math.cos(math.pi * 15000 / 20000)) / 2
    assert abs(cosine_decay(15000, 5000, 25000, 0.3) - wrong) > 0.1


@pytest.mark.parametrize(("key", "power"), [("constant", 0.0), ("exponential_3", 3.0)])
def test_power_decay_reproduces_the_golden_values(pruning_vectors, key, power):
    for step, value in pruning_vectors["rigl_drop"][key]:
        assert power_decay(step, 0, 25000, 0.3, power) == pytest.approx(value, rel=REL, abs=0.0)


def test_a_moment_is_a_share_of_the_run_or_a_number_of_steps():
    assert [step_of(moment, 10, "end") for moment in (0, 0.26, 1, 1.0, 2, 10)] == [0, 3, 10, 10, 2, 10]


@pytest.mark.parametrize("moment", [-0.1, 2.5, 11, True, "late", float("nan")])
def test_a_moment_that_is_neither_is_refused(moment):
    with pytest.raises(UsageError, match="end must be a share of the run"):
        step_of(moment, 10, "end")
    with pytest.raises(UsageError, match="total_steps must be"):
        step_of(0.5, 0, "end")
