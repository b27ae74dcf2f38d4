"""Bisection of the weight decay over whole runs."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from method_runs import mlp, train
from torch import optim

from tamis.errors import FileError, UsageError
from tamis.methods import STR, DecaySearch, DecayTrial
from tamis.sparsity import decay_for_logit, logit_for_sparsity


def outcome(decay):
    """A made-up run: half of the weights go at a decay of 1e-4."""
    return decay / (decay + 1e-4)


def test_trials_double_until_they_enclose_the_target_and_then_meet_in_the_middle():
    search = DecaySearch(0.9, 1e-4, tolerance=0.01, factor=4.0)
    best = search.run(outcome)
    decays = [trial.decay for trial in search.trials]
    assert decays[:4] == pytest.approx([1e-4, 4e-4, 1.6e-3, 8e-4])
    assert search.found
    assert best == search.best == search.trials[-1]
    assert abs(best.sparsity - 0.9) <= 0.01
    assert search.next_decay() is None


def test_a_start_that_prunes_too_much_is_divided():
    search = DecaySearch(0.5, 1.6e-3, tolerance=0.05, factor=4.0)
    search.run(outcome)
    assert [trial.decay for trial in search.trials] == pytest.approx([1.6e-3, 4e-4, 1e-4])


@settings(max_examples=200, deadline=None)
@given(target=st.floats(0.05, 0.99), start=st.floats(1e-8, 1e2), middle=st.floats(1e-8, 1e2), power=st.floats(0.3, 8.0))
def test_any_rising_outcome_is_found_within_the_logarithm_of_the_distance(target, start, middle, power):
    search = DecaySearch(target, start, tolerance=1e-3, max_runs=100)
    search.run(lambda decay: 1.0 / (1.0 + (middle / decay) ** power))
    assert search.found
    distance = abs(math.log2(start / middle) - math.log2(target / (1 - target)) / power)
    assert len(search.trials) <= distance + 18  # doubling, then halving one octave down to a thousandth


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12))
def test_noise_never_makes_it_run_longer_than_allowed_or_repeat_a_run(values):
    search = DecaySearch(0.7, 1e-3, tolerance=0.0, max_runs=12)
    outcomes = iter(values)
    search.run(lambda decay: next(outcomes))
    decays = [trial.decay for trial in search.trials]
    assert len(decays) <= 12
    assert len(set(decays)) == len(decays)
    assert search.best in search.trials


def test_an_interrupted_search_goes_on_where_it_was(tmp_path):
    whole = DecaySearch(0.9, 1e-5, tolerance=1e-3)
    whole.run(outcome)
    calls = []

    def interrupted(decay):
        calls.append(decay)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return outcome(decay)

    file = tmp_path / "trials.json"
    with pytest.raises(KeyboardInterrupt):
        DecaySearch(0.9, 1e-5, tolerance=1e-3).run(interrupted, file)
    assert len(json.loads(file.read_text())["trials"]) == 3
    rest = []
    again = DecaySearch(0.9, 1e-5, tolerance=1e-3)
    again.run(lambda decay: rest.append(decay) or outcome(decay), file)
    assert again.trials == whole.trials
    assert calls[:3] + rest == [trial.decay for trial in whole.trials]
    assert DecaySearch(0.9, 1.0, tolerance=1e-3).run(lambda decay: pytest.fail("ran again"), file) == whole.best


def test_a_foreign_or_damaged_file_is_refused(tmp_path):
    file = tmp_path / "trials.json"
    DecaySearch(0.9, 1e-4).run(outcome, file)
    with pytest.raises(UsageError, match=r"trials for sparsity 0\.9, this search is for 0\.8"):
        DecaySearch(0.8, 1e-4).load(file)
    file.write_text("{")
    with pytest.raises(FileError, match=r"trials\.json: is not valid JSON"):
        DecaySearch(0.9, 1e-4).load(file)


def test_numbers_out_of_range_are_refused():
    for options in ({"start": 0.0}, {"start": 1.0, "tolerance": -1.0}, {"start": 1.0, "factor": 1.0}):
        with pytest.raises(UsageError, match="expected start > 0"):
            DecaySearch(0.9, **options)
    search = DecaySearch(0.9, 1e-4)
    with pytest.raises(UsageError, match="no run was recorded"):
        _ = search.best
    with pytest.raises(UsageError, match=r"a sparsity in \[0, 1\]"):
        search.record(1e-4, 1.5)
    search.record(1e-4, 0.9)
    assert search.best == DecayTrial(1e-4, 0.9)


@pytest.mark.filterwarnings("ignore::tamis.methods.CollapseWarning")
def test_it_finds_the_decay_of_a_small_network_from_the_predicted_start():
    def run(decay):
        model = mlp()
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)
        sparsifier = STR(0.5, 60, initial_logit=-20.0, on_collapse="warn").attach(model, optimizer)
        train(model, optimizer, range(60))
        sparsifier.finalize()
        return sparsifier.report()["sparsity"]

    weights = {name: mlp().get_submodule(name).weight for name in ("0", "3", "5")}
    start = decay_for_logit(-20.0, logit_for_sparsity(weights, 0.5), [0.05] * 60, 0.9)
    search = DecaySearch(0.5, start, tolerance=0.05)
    assert search.run(run).decay == pytest.approx(start, rel=1.0)
    assert search.found
    assert len(search.trials) <= 9  # a few per cent of decay move this network from a half to three quarters
