"""tamis study bias: which networks it trains, what a cell leaves, that it goes on, and what its tables say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.audit import Outputs
from tamis.cli import main
from tamis.data import PLANTED, TintedDigits
from tamis.errors import FileError, UsageError
from tamis.study import (
    BiasNumbers,
    BiasStudy,
    PlantedFeature,
    TrainedCell,
    audit_setups,
    bias_cells,
    load_bias_study,
    read_bias_rows,
    train_bias_study,
    write_bias_report,
)
from tamis.study import _bias_worker as worker
from tamis.study._bias_cells import parse_cell
from tamis.study._bias_run import trained_cells
from tamis.train import AttributeRecipe, Optimizer, load_model

QUICK = AttributeRecipe(epochs=1, batch_size=64, events=3)
SMALL = BiasStudy(
    name="small",
    seeds=(0, 1),
    sparsity=(0.9,),
    after_training=(0.95,),
    bits=(3,),
    single=("Thick",),
    combined=(("Warm", "Thick"),),
    planted=(PlantedFeature("Loop", seeds=1),),
    planted_sparsity=(0.95,),
    training=QUICK,
    finetuning=replace(QUICK, optimizer=Optimizer(name="adam", lr=1e-3, weight_decay=0.0), schedule="constant"),
)


@pytest.fixture(scope="module")
def small_data() -> Iterator[None]:
    """Cells of this process see digits of 8x8 pixels, one variant each."""
    data = TintedDigits(size=8, variants=1).generate()
    patch = pytest.MonkeyPatch()
    worker.original_data.cache_clear()
    worker.data_of.cache_clear()
    patch.setattr(worker, "load_attribute_data", lambda *_, **__: data)
    yield
    patch.undo()
    worker.original_data.cache_clear()
    worker.data_of.cache_clear()


@pytest.fixture(scope="module")
def trained(small_data: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[TrainedCell, ...]]:
    folder = tmp_path_factory.mktemp("study")
    for cell in bias_cells(SMALL):
        worker.train_cell(cell, _made(folder / "cells" / cell.name))
    return folder, trained_cells(bias_cells(SMALL), folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_the_study_has_a_dense_network_for_every_pruned_one() -> None:
    cells = bias_cells(SMALL)
    assert len({cell.name for cell in cells}) == len(cells) == 2 * (1 + 1 + 1 + 1) + 2 + 2 * 2 * 2
    for cell in cells:
        if cell.method == "gmp_ri":
            twin = next(
                other
                for other in cells
                if (other.setup, other.subject, other.method) == (cell.setup, cell.subject, "dense")
                and other.recipe.seed == cell.recipe.seed
            )
            # one recipe for both: a published "dense" one pruned, with another optimizer
            assert replace(cell.recipe, sparsity=0.0) == twin.recipe
            assert twin.recipe.sparsity == 0.0
        assert parse_cell(cell.text()) == cell


def test_networks_pruned_after_training_start_from_the_dense_one_of_their_seed() -> None:
    cells = bias_cells(SMALL)
    names = [cell.name for cell in cells]
    for cell in cells:
        if cell.method in ("gmp_pt", "bits"):
            assert cell.start == f"joint_dense_s{cell.recipe.seed}"
            assert names.index(cell.start) < names.index(cell.name)


def test_the_study_that_comes_with_tamis_has_the_levels_of_the_paper() -> None:
    study = load_bias_study("bias_tinted_digits")
    assert study.sparsity == (0.8, 0.9, 0.95, 0.97, 0.98)
    assert (study.training.start, study.training.end, study.training.events) == (0.15, 0.75, 40)
    assert (study.training.optimizer.lr, study.training.optimizer.weight_decay) == (0.05, 1e-4)
    assert (study.finetuning.epochs, study.finetuning.optimizer.name, study.finetuning.schedule) == (
        6,
        "adam",
        "constant",
    )
    assert len(bias_cells(study)) == 81


@pytest.mark.parametrize("name", ["bias_mnist_groups", "bias_animals"])
def test_the_recipes_for_real_images_can_be_read(name: str) -> None:
    study = load_bias_study(name)
    assert study.data.kind in ("mnist_groups", "animals")
    assert bias_cells(replace(study, data=replace(study.data, path="somewhere")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "each of them once"),
        ({"sparsity": (0.0, 0.9)}, "without 0: dense networks are always trained"),
        ({"after_training": (95.0,)}, "after_training"),
        ({"bits": (1,)}, "bits"),
        ({"training": replace(QUICK, sparsity=0.5)}, "belong to the study itself"),
        ({"training": replace(QUICK, model="mlp")}, "expected the same network"),
        ({"name": "a/b"}, "name"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(SMALL, **changes)
    with pytest.raises(UsageError, match="name of an attribute"):
        PlantedFeature()


def test_a_cell_leaves_outputs_that_are_labelled_by_what_was_measured(
    trained: tuple[Path, tuple[TrainedCell, ...]],
) -> None:
    _, cells = trained
    assert [one.cell.name for one in cells] == [cell.name for cell in bias_cells(SMALL)]
    for one in cells:
        model, _ = load_model(one.folder / "model.safetensors")
        weights = np.concatenate(
            [v.numpy().ravel() for k, v in model.state_dict().items() if k.startswith(("conv", "fc.weight"))]
        )
        measured = float((weights == 0).mean())
        outputs = Outputs.load(one.folder / "outputs_test.npz")
        if one.cell.method == "bits":
            assert (outputs.axis, outputs.level) == ("bits", 3.0)
        else:
            assert outputs.level == one.summary["sparsity"] == pytest.approx(measured, abs=1e-12)
            assert abs(measured - one.cell.recipe.sparsity) < 1e-4
        assert outputs.seed == one.cell.recipe.seed
        assert len(outputs.logits) == 361
        assert len(Outputs.load(one.folder / "outputs_valid.npz").logits) == 179


def test_dense_and_pruned_networks_of_a_set_up_share_their_recipe(
    trained: tuple[Path, tuple[TrainedCell, ...]],
) -> None:
    recipes = [
        Outputs.load(one.folder / "outputs_test.npz").meta["recipe"]
        for one in trained[1]
        if one.cell.setup == "joint" and one.cell.method in ("dense", "gmp_ri")
    ]
    assert all(recipe == recipes[0] for recipe in recipes)


def test_every_set_up_is_audited_and_its_tables_can_be_read_again(
    trained: tuple[Path, tuple[TrainedCell, ...]], tmp_path: Path
) -> None:
    audits = audit_setups(trained[1], n_boot=100)
    assert {(one.setup, one.subject) for one in audits} == {
        ("joint", ""),
        ("single", "Thick"),
        ("combined", "Warm+Thick"),
        ("planted", "yellow_square-Loop-5-95"),
    }
    page = write_bias_report(SMALL, audits, tmp_path, missing={"joint_x": "<b>it failed</b>"})
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;it failed&lt;/b&gt;: joint_x" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    numbers = BiasNumbers.of(audits)
    again = read_bias_rows(tmp_path / "networks.csv")
    assert len(again) == len(trained[1])
    for row, written in zip(numbers.networks, again, strict=True):
        assert math.isclose(row["accuracy"], written["accuracy"])
        assert row["setup"] == written["setup"]
    planted = [row for row in again if row["setup"] == "planted"]
    assert all(0 <= row["accuracy_conflict"] <= 1 and 0 <= row["accuracy_conflict_calibrated"] <= 1 for row in planted)
    with pytest.raises(FileError, match="cannot be read"):
        read_bias_rows(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileError, match="expected also setup, subject"):
        read_bias_rows(tmp_path / "other.csv")


def test_accuracy_with_and_without_conflict_is_what_a_count_says(
    trained: tuple[Path, tuple[TrainedCell, ...]],
) -> None:
    one = next(cell for cell in trained[1] if cell.cell.setup == "planted" and cell.cell.method == "dense")
    audits = audit_setups([cell for cell in trained[1] if cell.cell.setup == "planted"], n_boot=100)
    found = audits[0].conflict[one.cell.name]
    data = worker.data_of(one.cell.data, one.cell.planted)
    predicted = Outputs.load(one.folder / "outputs_test.npz").logits[:, 0] > 0
    right = {"agree": 0, "conflict": 0}
    count = {"agree": 0, "conflict": 0}
    for guess, loop, planted in zip(predicted, *data.labels("test", ("Loop", PLANTED)).T.tolist(), strict=True):
        kind = "agree" if loop == planted else "conflict"
        right[kind] += int(guess == loop)
        count[kind] += 1
    for kind in right:
        assert found[f"accuracy_{kind}"] == pytest.approx(right[kind] / count[kind])


@pytest.mark.slow
def test_processes_train_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    study = replace(SMALL, seeds=(0,), sparsity=(), bits=(8,), single=(), combined=(), planted=(), after_training=())
    cells = bias_cells(study)
    found = train_bias_study(cells, tmp_path, workers=2)
    assert [one.cell.name for one in found.done] == ["joint_dense_s0", "joint_bits_8_s0"]
    assert not found.failed
    written = {one.cell.name: (one.folder / "summary.json").stat().st_mtime_ns for one in found.done}
    again = train_bias_study(cells, tmp_path)
    assert {one.cell.name: (one.folder / "summary.json").stat().st_mtime_ns for one in again.done} == written
    other = bias_cells(replace(study, training=replace(QUICK, epochs=2)))
    with pytest.raises(UsageError, match="another description of the study"):
        train_bias_study(other, tmp_path)


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_so_is_what_starts_from_it(tmp_path: Path) -> None:
    study = replace(
        SMALL, seeds=(0,), attributes=("Nose",), sparsity=(), bits=(8,), single=(), combined=(), planted=(),
        after_training=(),
    )  # fmt: skip
    found = train_bias_study(bias_cells(study), tmp_path)
    assert found.done == ()
    assert "has no 'Nose'" in found.failed["joint_dense_s0"]
    assert "joint_dense_s0 failed" in found.failed["joint_bits_8_s0"]


def test_the_command_refuses_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "bias", "none.toml"]) == 2
    assert "bias_tinted_digits" in capsys.readouterr().err
    assert main(["study", "bias", "--seeds", "-1"]) == 2
    assert main(["study", "bias", "--data", "somewhere"]) == 2
    assert "tinted_digits is drawn" in capsys.readouterr().err
    assert main(["study", "bias", "bias_animals"]) == 2
    assert "pass --data FOLDER" in capsys.readouterr().err


def test_the_summary_of_a_cell_tells_what_it_cost_and_where(trained: tuple[Path, tuple[TrainedCell, ...]]) -> None:
    for one in trained[1]:
        stored = json.loads((one.folder / "summary.json").read_text())
        assert stored["steps"] == (0 if one.cell.bits else 20)
        assert stored["env"]["versions"]["tamis"]
