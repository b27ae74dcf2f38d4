"""What a sweep asks for: its models, cells and recipes, and descriptions that make no sense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tamis.errors import UsageError
from tamis.study import TransferSweep, UpstreamModel, load_sweep, sweep_cells, sweep_models
from tamis.train import parse_table

from .sweep_work import sweep_of


def test_a_linear_probe_without_a_seed_is_run_once_and_others_for_every_seed(tmp_path):
    models = (UpstreamModel("a", "dense"),)
    one = sweep_cells(sweep_of(tmp_path, kinds=("linear",)), models, tmp_path)
    assert [cell.recipe.seed for cell in one] == [0, 0]
    assert one[0].selections == {"best_val"}
    every = sweep_cells(sweep_of(tmp_path, kinds=("linear",), recipe={"probe": {"solver": "sgd"}}), models, tmp_path)
    assert [cell.recipe.seed for cell in every] == [0, 0, 1, 1]
    assert every[0].selections == {"last"}


def test_the_paper_mode_has_the_papers_constants_and_labels_its_choice(tmp_path):
    sweep = sweep_of(tmp_path, tasks=("aircraft", "dtd"), kinds=("linear", "full"), seeds=(21,), paper=True)
    cells = {(c.task, c.recipe.how): c for c in sweep_cells(sweep, (UpstreamModel("a", "dense"),), tmp_path)}
    assert cells["aircraft", "full"].recipe.finetune.optimizer.lr == 0.01
    assert cells["dtd", "full"].recipe.finetune.optimizer.lr == 0.001
    assert cells["dtd", "linear"].recipe.probe.solver == "sgd"
    assert "paper_best_test" in cells["dtd", "linear"].selections


def test_models_have_the_paths_of_the_pattern_or_of_the_sweeps_own_training(tmp_path):
    sweep = sweep_of(tmp_path, methods=("gmp", "acdc"), sparsity=(0.8, 0.95))
    names = [Path(model.path).name for model in sweep_models(sweep, tmp_path / "out", tmp_path)]
    assert names == ["dense_0.pt", "gmp_0.8.pt", "gmp_0.95.pt", "acdc_0.8.pt", "acdc_0.95.pt"]
    trained = replace(sweep, path="", train="digits_resnet8")
    paths = [model.path for model in sweep_models(trained, tmp_path / "out", tmp_path)]
    assert paths[0] == str(tmp_path / "out/upstream/cells/dense_s0")
    assert paths[-1] == str(tmp_path / "out/upstream/cells/acdc_95_s0")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": ()}, "tasks = "),
        ({"seeds": (1, 1)}, "seeds = "),
        ({"methods": ()}, "either models, or methods"),
        ({"train": "digits_resnet8"}, "either path"),
        ({"methods": ("gpm",)}, "did you mean 'gmp'"),
        ({"path": "{methd}"}, "expected {method} and {sparsity}"),
        ({"recipe": {"seed": 3}}, r"recipe\.seed belongs to the sweep"),
        ({"sparsity": (1.5,)}, "sparsity"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(tmp_path, changes, words):
    with pytest.raises(UsageError, match=words):
        sweep_of(tmp_path, **changes)


def test_a_bad_key_of_the_transfer_recipe_is_named(tmp_path):
    sweep = sweep_of(tmp_path, recipe={"finetune": {"epoch": 3}})
    with pytest.raises(UsageError, match=r"unknown key 'finetune\.epoch'"):
        sweep_cells(sweep, (UpstreamModel("a", "dense"),), tmp_path)


@pytest.mark.parametrize("name", ["transfer_digits", "transfer_tiny_imagenet"])
def test_the_sweeps_that_come_with_tamis_can_be_built(name, tmp_path):
    sweep = load_sweep(name)
    models = sweep_models(sweep, tmp_path, tmp_path)
    cells = sweep_cells(sweep, models, tmp_path)
    assert len(models) == 1 + len(sweep.methods) * len(sweep.sparsity)
    assert len({cell.name for cell in cells}) == len(cells)
    assert name == "transfer_digits" or "ltht" in sweep.methods  # tickets from pretrained weights, as in the paper


def test_unknown_keys_of_a_sweep_file_are_named():
    with pytest.raises(UsageError, match="unknown key 'task'; did you mean tasks"):
        parse_table(TransferSweep, {"task": ["a"]}, "s.toml")
