"""Cells: which there are, and the full recipe of each."""

from dataclasses import replace

import pytest

from tamis.errors import FileError, UsageError
from tamis.study import cells_of, load_study
from tamis.train import dump_recipe, parse_recipe

from .conftest import BASE, STUDY, write_study


def with_parts(folder, parts, base=BASE):
    return load_study(write_study(folder, base, STUDY + parts))


def by_name(study, **more):
    return {cell.name: cell for cell in cells_of(study, **more)}


def test_each_seed_has_one_dense_baseline_and_every_combination(study_file):
    study = replace(load_study(study_file), seeds=(0, 7))
    assert [cell.name for cell in cells_of(study)] == [
        "dense_s0", "gmp_50_s0", "oneshot_50_s0", "gmp_75_s0", "oneshot_75_s0",
        "dense_s7", "gmp_50_s7", "oneshot_50_s7", "gmp_75_s7", "oneshot_75_s7",
    ]  # fmt: skip


def test_a_cell_differs_from_the_base_in_nothing_but_what_the_study_says(study_file):
    cell = by_name(load_study(study_file))["gmp_75_s0"]
    base = parse_recipe(BASE)
    assert cell.recipe == replace(
        base, name="gmp_75_s0", method="gmp", sparsity=0.75, options=cell.recipe.options, train=base.train
    )
    assert parse_recipe(dump_recipe(cell.recipe)) == cell.recipe


def test_the_seed_is_that_of_the_training(study_file):
    cells = cells_of(replace(load_study(study_file), seeds=(3, 4)))
    assert all(cell.recipe.train.seed == cell.seed for cell in cells)
    assert {cell.seed for cell in cells} == {3, 4}


@pytest.mark.parametrize(("share", "epochs", "expected"), [(0.5, 6, 3), (0.5, 40, 20), (0.25, 40, 10)])
def test_one_shot_prunes_after_its_share_of_the_epochs(study_file, share, epochs, expected):
    cells = by_name(replace(load_study(study_file), prune_at=share), epochs=epochs)
    assert cells["oneshot_50_s0"].recipe.options.epoch == expected
    assert {cell.recipe.train.epochs for cell in cells.values()} == {epochs}


def test_the_part_of_a_method_reaches_that_method_alone(tmp_path):
    parts = """
[cells.gmp]
distribution = "erk"
options = { start = 0.1 }
[cells.oneshot]
options = { epoch = 1 }
[cells.oneshot.optimizer]
lr = 0.5
"""
    cells = by_name(with_parts(tmp_path, parts))
    assert cells["gmp_50_s0"].recipe.distribution.kind == "erk"
    assert cells["gmp_50_s0"].recipe.options.start == 0.1
    assert cells["gmp_50_s0"].recipe.optimizer.lr == 0.01
    assert cells["oneshot_50_s0"].recipe.distribution.kind == "default"
    assert cells["oneshot_50_s0"].recipe.options.epoch == 1
    assert (cells["oneshot_50_s0"].recipe.optimizer.lr, cells["oneshot_50_s0"].recipe.optimizer.momentum) == (0.5, 0.9)


def test_a_distribution_replaces_that_of_the_base_as_a_whole(tmp_path):
    base = BASE + '[distribution]\nkind = "global"\nfloor = 0.2\n'
    cells = by_name(with_parts(tmp_path, '[cells.gmp.distribution]\nkind = "uniform"\n', base))
    assert cells["gmp_50_s0"].recipe.distribution.kind == "uniform"
    assert cells["gmp_50_s0"].recipe.distribution.floor is None
    assert cells["oneshot_50_s0"].recipe.distribution.floor == 0.2


def test_options_of_the_base_are_those_of_its_own_method(tmp_path):
    base = BASE.replace('name = "tiny"', 'name = "tiny"\nmethod = "gmp"\nsparsity = 0.9\noptions = { events = 3 }', 1)
    cells = by_name(with_parts(tmp_path, "", base))
    assert cells["gmp_50_s0"].recipe.options.events == 3
    assert cells["oneshot_50_s0"].recipe.options.epoch == 3
    assert cells["dense_s0"].recipe.sparsity == 0


def test_data_can_be_replaced(study_file):
    assert {cell.recipe.data.source for cell in cells_of(load_study(study_file), data="mine.npz")} == {"mine.npz"}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("options = { strat = 0.1 }", "cells.gmp: unknown key 'options.strat'; did you mean options.start"),
        ("optimiser = { lr = 1.0 }", "cells.gmp: unknown key 'optimiser'; did you mean optimizer"),
        ("sparsity = 0.5", "sparsity belongs to the study itself; use its key 'sparsity'"),
        ("train = { seed = 4 }", "train.seed belongs to the study itself; use its key 'seeds'"),
        ("train = { epochs = 7 }", "trains 7 epochs, dense 6; all cells of a study have the same number of epochs"),
        ("options = { start = 0.9, end = 0.3 }", "cells.gmp: options.start"),
    ],
)
def test_a_bad_part_is_named(tmp_path, part, words):
    with pytest.raises(UsageError, match=words):
        cells_of(with_parts(tmp_path, f"[cells.gmp]\n{part}\n"))


def test_the_dense_twin_is_no_part_of_an_equal_budget(tmp_path):
    study = replace(with_parts(tmp_path, "[cells.acdc.train]\ndense_twin_epochs = 2\n"), methods=("acdc",))
    with pytest.raises(UsageError, match="6 epochs and 2 of a dense twin"):
        cells_of(study)


def test_a_base_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileError, match="no such recipe"):
        cells_of(load_study(write_study(tmp_path, study=STUDY.replace("tiny.toml", "tidy.toml"))))


@pytest.mark.parametrize("name", ["digits_methods", "fashion_mnist_methods", "cifar10_methods"])
def test_the_studies_that_come_with_tamis_can_be_built(name):
    from tamis.train._method import build_sparsifier

    study = load_study(name)
    cells = cells_of(study, data="images.npz")
    assert len(cells) == len(study.seeds) * (1 + len(study.methods) * len(study.sparsity))
    for cell in cells:
        assert (build_sparsifier(cell.recipe, 5) is None) == (cell.method == "dense")
