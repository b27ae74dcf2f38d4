"""The toy of layer collapse: plain global magnitude pruning at 98 % loses the output layer, a floor saves it."""

from __future__ import annotations

import pytest

from benchmark_modules import benchmark_module
from tamis.sparsity import Global

pytest.importorskip("sklearn", reason="the digits come with scikit-learn (tamis[fair])")


@pytest.fixture(scope="module")
def toy():
    return benchmark_module("acdc_toy")


def test_the_phases_of_the_toy_are_those_that_were_measured(toy):
    phases = toy.phases()
    assert [p.start for p in phases if p.kind == "sparse"] == [6, 12, 18, 24, 30, 36, 50]
    assert [p.start for p in phases if p.kind == "dense"] == [0, 9, 15, 21, 27, 33, 42]


@pytest.mark.slow
@pytest.mark.parametrize(("floor", "row", "collapsed"), [(0.0, "global", True), (0.2, "global, floor 0.2", False)])
def test_at_98_percent_a_network_collapses_without_the_floor_and_learns_with_it(
    toy, floor, row, collapsed, pruning_vectors
):
    rows = pruning_vectors["measured_layer_collapse"]["rows"]
    accuracy = next(seeds[0] for sparsity, name, seeds, *_ in rows if (sparsity, name) == (0.98, row))
    outcome = toy.run(0.98, Global(floor=floor), seed=0)
    assert outcome.collapsed == collapsed
    assert (outcome.live_share[-1] == 0.0) == collapsed
    assert outcome.accuracy == pytest.approx(accuracy, abs=0.02)
