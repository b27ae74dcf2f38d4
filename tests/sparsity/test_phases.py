"""Phases of AC/DC: the builder, its errors, and conversion between units."""

from __future__ import annotations

import pytest

from tamis.errors import UsageError
from tamis.sparsity import (
    Phase,
    acdc_phases,
    check_phases,
    compress_at,
    decompress_at,
    default_phases,
    phase_at,
    scale_phases,
)


def triples(phases):
    return [[phase.kind[0].upper(), phase.start, phase.end] for phase in phases]


def test_builder_reproduces_every_golden_schedule(pruning_vectors):
    golden = {name: row for name, row in pruning_vectors["acdc_phases"].items() if name != "_note"}
    assert len(golden) == 6
    for name, row in golden.items():
        phases = acdc_phases(*row["builder"])
        assert triples(phases) == row["phases"], name
        assert list(compress_at(phases)) == row["compress_at"]
        assert list(decompress_at(phases)) == row["decompress_at"]
        assert sum(phase.length for phase in phases if phase.kind == "sparse") == row["sparse_epochs"]
        assert sum(phase.length for phase in phases if phase.kind == "dense") == row["dense_epochs"]


def test_a_total_that_leaves_a_rest_names_its_neighbours():
    with pytest.raises(UsageError, match=r"run of 103 leaves 3 .* nearest valid totals are 100 and 110"):
        acdc_phases(103, 10, 5, 5, 10, 15)


def test_the_named_neighbours_are_valid():
    for total in (100, 110):
        assert acdc_phases(total, 10, 5, 5, 10, 15)[-1].end == total


def test_a_total_that_is_too_short_names_the_shortest():
    with pytest.raises(UsageError, match=r"run of 39 is too short .* are 40 and 50"):
        acdc_phases(39, 10, 5, 5, 10, 15)
    assert triples(acdc_phases(40, 10, 5, 5, 10, 15)) == [["D", 0, 10], ["S", 10, 15], ["D", 15, 25], ["S", 25, 40]]


@pytest.mark.parametrize("position", range(1, 6))
def test_empty_phases_are_refused_by_name(position):
    lengths = [100, 10, 5, 5, 10, 15]
    lengths[position] = 0
    names = ["total", "warmup", "sparse", "dense", "last_dense", "last_sparse"]
    with pytest.raises(UsageError, match=f"^{names[position]} must be at least 1"):
        acdc_phases(*lengths)


def test_default_fractions_are_those_of_the_hundred_epoch_run():
    assert default_phases(100) == acdc_phases(100, 10, 5, 5, 10, 15)
    assert default_phases(2000) == acdc_phases(2000, 200, 100, 100, 200, 300)


def test_scaling_rounds_boundaries_and_not_lengths():
    phases = default_phases(57)  # 0.57 of 10, 15, 20 ... is 5.7, 8.55, 11.4 ...
    assert [phase.start for phase in phases] == [0, 6, 9, 11, 14, 17, 20, 23, 26, 29, 31, 34, 37, 40, 43, 48]
    assert {phase.length for phase in phases[1:-2]} == {2, 3}
    assert check_phases(phases) == 57


def test_a_run_too_short_for_its_phases_is_refused():
    with pytest.raises(UsageError, match="too short for 16 phases"):
        default_phases(10)


def test_epochs_become_steps_exactly():
    phases = scale_phases(acdc_phases(200, 10, 20, 20, 20, 30), 200 * 391)
    assert [phase.start for phase in phases] == [391 * e for e in (0, 10, 30, 50, 70, 90, 110, 130, 150, 170)]


def test_phase_at_respects_exclusive_ends():
    phases = acdc_phases(40, 10, 5, 5, 10, 15)
    assert [phase_at(phases, i).kind for i in (0, 9, 10, 14, 15, 24, 25, 39)] == [
        *["dense"] * 2, *["sparse"] * 2, *["dense"] * 2, *["sparse"] * 2,
    ]  # fmt: skip
    for outside in (-1, 40):
        with pytest.raises(UsageError, match="0 up to 39"):
            phase_at(phases, outside)


@pytest.mark.parametrize(
    "phases",
    [
        (),
        (Phase("dense", 1, 2),),
        (Phase("dense", 0, 5), Phase("sparse", 6, 8)),
        (Phase("dense", 0, 0),),
        (Phase("warm", 0, 5),),
    ],
)
def test_schedules_with_gaps_or_unknown_kinds_are_refused(phases):
    with pytest.raises(UsageError, match="phase"):
        check_phases(phases)


def test_neighbours_of_one_kind_are_one_entry():
    phases = (Phase("sparse", 0, 5), Phase("sparse", 5, 9), Phase("dense", 9, 10), Phase("dense", 10, 12))
    assert compress_at(phases) == (0,)
    assert decompress_at(phases) == (9,)
