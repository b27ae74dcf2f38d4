import json
import math
import warnings
from dataclasses import replace

import pytest
import torch

from tamis.data import load_data
from tamis.errors import FileError, UsageError
from tamis.nn import prunable_modules
from tamis.train import OPTIONS, Recipe, _diary, evaluate, fit, load_checkpoint, load_model, load_recipe, read_metrics

LENGTHS = OPTIONS["acdc"](1, 1, 1, 1, 2)


@pytest.fixture(scope="module")
def acdc(data, small, tmp_path_factory):
    """Folder and summary of one AC/DC run with a dense twin."""
    folder = tmp_path_factory.mktemp("acdc")
    train = replace(small.train, dense_twin_epochs=2, packed="always")
    return folder, fit(replace(small, method="acdc", sparsity=0.75, options=LENGTHS, train=train), folder, data=data)


def epochs(folder):
    return [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] == "epoch"]


def test_a_run_folder_is_complete(acdc, small):
    folder, summary = acdc
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert names == {
        "recipe.toml",
        "env.json",
        "metrics.jsonl",
        "summary.json",
        "checkpoints/last.safetensors",
        "models/dense.safetensors",
        "models/sparse.safetensors",
    }
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert load_recipe(folder / "recipe.toml").options == LENGTHS


def test_the_summary_has_every_number_of_the_pair(acdc):
    _, summary = acdc
    for key in ("accuracy_dense", "accuracy_sparse", "step_ms_dense", "step_ms_sparse", "bytes_dense", "bytes_sparse"):
        assert summary[key] > 0, key
    assert set(summary["pair"]) >= {"top1_agreement", "mean_kl", "mean_cross_entropy"}
    assert [(row["row"], row["count"]) for row in summary["flops"]["rows"]] == [
        ("forward", "mask"),
        *(("training", count) for count in ("mask", "nonzero", "cpu time", "wall time")),
    ]


def test_sparsity_is_exact_to_one_weight(acdc):
    _, summary = acdc
    live = sum(layer["live"] for layer in summary["layers"])
    total = sum(layer["total"] for layer in summary["layers"])
    assert live == total - math.floor(0.75 * total + 1e-6)
    assert summary["sparsity"] == pytest.approx(1 - live / total, abs=1e-15)


def test_the_sparse_file_holds_the_model_that_was_measured(acdc, data):
    folder, summary = acdc
    model, header = load_model(folder / "models" / "sparse.safetensors")
    assert evaluate(model, data).accuracy == summary["accuracy_sparse"]
    assert header["method"] == "acdc"
    zeros = sum(int((layer.weight == 0).sum()) for layer in prunable_modules(model).values())
    assert zeros == sum(layer["total"] - layer["live"] for layer in summary["layers"])
    dense, _ = load_model(folder / "models" / "dense.safetensors")
    assert evaluate(dense, data).accuracy == summary["accuracy_dense"]


def test_rows_of_an_epoch_show_the_phase_that_ended_not_the_next_one(acdc):
    rows = epochs(acdc[0])
    assert [row["phase"] for row in rows] == ["dense", "sparse", "dense", "sparse", "dense", "sparse", "sparse"]
    assert [row["sparsity"] > 0.7 for row in rows] == [row["phase"] == "sparse" for row in rows]
    assert rows[0]["exact_zeros"] < 0.01
    assert [row["step"] for row in rows] == [5, 10, 15, 20, 25, 30, 35]
    assert [row["samples"] for row in rows] == [70 * n for n in range(1, 8)]


def test_every_mask_change_is_a_row(acdc):
    rows = [row for row in read_metrics(acdc[0] / "metrics.jsonl") if row["kind"] == "mask"]
    assert [(row["event"], row["step"]) for row in rows] == [
        ("compress", 5),
        ("decompress", 10),
        ("compress", 15),
        ("decompress", 20),
        ("compress", 25),
    ]


def test_the_twin_continues_the_last_dense_phase_at_the_learning_rates_of_the_last_epochs(acdc):
    rows = [row for row in read_metrics(acdc[0] / "metrics.jsonl") if row["kind"] == "twin"]
    assert [row["epoch"] for row in rows] == [5, 6]


def test_environment_names_no_host_and_no_path(acdc):
    import platform

    text = (acdc[0] / "env.json").read_text()
    assert platform.node() not in text
    assert str(acdc[0]) not in text
    assert {"versions", "threads", "isa", "load_average"} <= set(json.loads(text))


def test_the_same_seed_trains_the_same_weights(data, small, tmp_path):
    recipe = replace(small, train=replace(small.train, epochs=1))
    fit(recipe, tmp_path / "a", data=data)
    fit(recipe, tmp_path / "b", data=data)
    fit(replace(recipe, train=replace(recipe.train, seed=1)), tmp_path / "c", data=data)
    a, b, c = (load_checkpoint(tmp_path / name / "checkpoints/last.safetensors").model for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["conv1.weight"], c["conv1.weight"])


def test_a_dense_run_has_no_sparse_numbers(data, small, tmp_path):
    summary = fit(replace(small, train=replace(small.train, epochs=1)), tmp_path, data=data)
    assert summary["accuracy_sparse"] is None
    assert summary["sparsity"] == 0.0
    assert 0 < summary["accuracy_dense"] <= 1


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_warning_during_training_is_in_the_log_in_the_summary_and_on_stderr(
    data, small, tmp_path, capsys, monkeypatch
):
    evaluate_before = _diary.evaluate

    def warns(*arguments, **keywords):
        warnings.warn("layer fc is starving", UserWarning, stacklevel=1)
        return evaluate_before(*arguments, **keywords)

    monkeypatch.setattr(_diary, "evaluate", warns)
    summary = fit(replace(small, train=replace(small.train, epochs=1)), tmp_path, data=data)
    (note,) = [row for row in read_metrics(tmp_path / "metrics.jsonl") if row["kind"] == "note"]
    assert note == {"kind": "note", "category": "UserWarning", "text": "layer fc is starving"}
    assert summary["warnings"] == ["layer fc is starving"]
    assert "warning: layer fc is starving" in capsys.readouterr().err


def test_gmp_reaches_its_target_exactly(data, small, tmp_path):
    summary = fit(replace(small, method="gmp", sparsity=0.8), tmp_path, data=data)
    total = sum(layer["total"] for layer in summary["layers"])
    assert sum(layer["live"] for layer in summary["layers"]) == total - math.floor(0.8 * total + 1e-6)
    assert summary["accuracy_dense"] is None


def test_the_memorisation_probe_is_logged(data, small, tmp_path):
    train = replace(small.train, epochs=2, memorisation_probe=10)
    fit(replace(small, data=replace(small.data, crop_padding=0, flip=False), train=train), tmp_path, data=data)
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if row["kind"] == "probe"]
    assert [row["step"] for row in rows] == [5, 10]
    assert all(0 <= row["accuracy_random"] <= 1 and row["loss_true"] > 0 for row in rows)


def test_the_memorisation_probe_refuses_augmentation(data, small, tmp_path):
    with pytest.raises(UsageError, match="memorisation_probe"):
        fit(replace(small, train=replace(small.train, memorisation_probe=10)), tmp_path, data=data)


def test_a_recipe_without_data_says_how_to_give_it(tmp_path):
    with pytest.raises(UsageError, match="--data"):
        fit(replace(Recipe(), data=replace(Recipe().data, source="")), tmp_path)


def test_phases_that_do_not_add_up_name_the_nearest_totals(data, small, tmp_path):
    wrong = replace(small, method="acdc", sparsity=0.5, options=LENGTHS, train=replace(small.train, epochs=8))
    with pytest.raises(UsageError, match="7 and 9"):
        fit(wrong, tmp_path, data=data)


def test_a_pattern_that_fits_no_layer_is_refused(data, small, tmp_path):
    nm = replace(small.pattern, kind="nm", n=2, m=4)
    with pytest.raises(UsageError, match="multiple of 4"):
        fit(replace(small, method="oneshot", sparsity=0.5, pattern=nm), tmp_path, data=data)


def test_an_unreadable_data_file_leaves_nothing(tmp_path, small):
    with pytest.raises(FileError):
        fit(replace(small, data=replace(small.data, source=str(tmp_path / "absent.npz"))), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluation_restores_the_mode_and_counts_every_image(data, small, tmp_path):
    model, _ = load_model_of(small, data, tmp_path)
    model.train()
    seen = evaluate(model, data, batch_size=7)
    assert model.training
    assert seen.samples == 20
    assert seen.accuracy == pytest.approx(evaluate(model, data, batch_size=20).accuracy, abs=0)
    assert evaluate(model, data, "train").samples == 70


def load_model_of(small, data, tmp_path):
    fit(replace(small, train=replace(small.train, epochs=0)), tmp_path, data=data)
    return load_model(tmp_path / "checkpoints" / "last.safetensors")


@pytest.mark.slow
def test_the_digits_recipe_learns(tmp_path):
    recipe = load_recipe("digits_acdc")
    summary = fit(recipe, tmp_path, data=load_data("digits"))
    # Measured .989 and .991 on the 540 held-out images; 0.97 leaves ten images for other rounding.
    assert summary["accuracy_sparse"] > 0.97
    assert summary["accuracy_dense"] > 0.97
