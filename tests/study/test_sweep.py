"""The transfer sweep: a row for every cell, each run once, changed ones anew, and the real work of one."""

from __future__ import annotations

import json
import math

import pytest

from tamis.models import create_model
from tamis.study import TransferSweep, UpstreamModel, run_sweep
from tamis.transfer import read_results

from .sweep_work import calls, run, sweep_of, values


def test_every_cell_has_a_row_with_what_the_sweep_says_of_its_model(tmp_path, in_threads):
    found = run(tmp_path)
    rows = read_results(found.table)
    assert len(found.done) == len(rows) == 2 * 2 * 2
    assert not found.missing
    assert {(row.method, row.sparsity) for row in rows} == {("dense", 0.0), ("gmp", 0.8)}
    assert {(row.task, row.seed) for row in rows} == {
        (t, s) for t in ("digits_parity", "digits_mirrored") for s in "01"
    }


def test_cells_that_are_done_are_not_run_again(tmp_path, in_threads):
    run(tmp_path)
    before = values(tmp_path)
    again = run(tmp_path)
    assert len(again.done) == 8
    assert sorted(calls(tmp_path)) == sorted(set(calls(tmp_path)))
    assert values(tmp_path) == before


def test_a_changed_sweep_adds_what_it_asks_for(tmp_path, in_threads):
    run(tmp_path)
    found = run(tmp_path, sweep_of(tmp_path / "models", seeds=(0, 1, 2)))
    assert len(found.done) == 12
    assert len(calls(tmp_path)) == 12


def test_another_recipe_or_other_weights_are_other_cells(tmp_path, in_threads):
    run(tmp_path)
    run(tmp_path, sweep_of(tmp_path / "models", recipe={"finetune": {"epochs": 3}}))
    assert len(calls(tmp_path)) == 16
    (tmp_path / "models/gmp_0.8.pt").write_bytes((tmp_path / "models/dense_0.pt").read_bytes())
    run(tmp_path)
    assert len(calls(tmp_path)) == 20


def test_what_counts_as_sparse_counts_when_a_sweep_asks_what_is_done(tmp_path, in_threads):
    import torch

    models = tmp_path / "models"
    models.mkdir()
    model = create_model("resnet8_digits", num_classes=10, in_channels=1)
    with torch.no_grad():
        model.layer1[0].conv1.weight.flatten()[::5] = 0  # a fifth, which this sweep takes for an accident
    torch.save(model.state_dict(), models / "dense.pt")
    sweep = TransferSweep(
        name="real", tasks=("digits_parity",), models=(UpstreamModel("dense.pt", "dense", arch="resnet8_digits"),),
        recipe={"probe": {"grid_step": 44}, "size": 8, "min_zero_fraction": 0.5},
    )  # fmt: skip
    assert not run_sweep(sweep, tmp_path / "out", models=models).missing

    def never(job):
        raise AssertionError("the cell is done")

    found = run_sweep(sweep, tmp_path / "out", models=models, work=never)
    assert not found.missing


def test_a_missing_model_is_named_and_the_others_run(tmp_path, in_threads):
    sweep = sweep_of(tmp_path / "models", sparsity=(0.8, 0.9))
    found = run(tmp_path, sweep)
    assert len(found.done) == 8
    assert sorted(found.missing) == sorted(
        f"gmp_90-{task}-full-s{seed}" for task in ("digits_parity", "digits_mirrored") for seed in (0, 1)
    )
    assert all(reason.startswith("no upstream model") for reason in found.missing.values())


def test_a_real_cell_runs_and_leaves_nothing_bulky(tmp_path, in_threads):
    import torch

    weights = create_model("resnet8_digits", num_classes=10, in_channels=1).state_dict()
    models = tmp_path / "models"
    models.mkdir()
    torch.save(weights, models / "dense.pt")
    sweep = TransferSweep(
        name="real", tasks=("digits_parity",), models=(UpstreamModel("dense.pt", "dense", arch="resnet8_digits"),),
        recipe={"probe": {"grid_step": 22}, "size": 8},
    )  # fmt: skip
    found = run_sweep(sweep, tmp_path / "out", models=models)
    assert not found.missing
    [row] = read_results(found.table)
    assert (row.method, row.kind, row.selection, row.n_test) == ("dense", "linear", "best_val", 540)
    assert 0.5 < row.value <= 1
    assert math.isnan(row.upstream)
    [folder] = (tmp_path / "out/cells").iterdir()
    assert not {"checkpoints", "models", "outputs"} & {child.name for child in folder.iterdir()}
    assert len(run_sweep(sweep, tmp_path / "out", models=models).done) == 1


def test_sparse_models_are_measured_against_dense_for_the_plot(tmp_path, in_threads, capsys):
    import csv

    import torch

    from tamis.cli import main

    models = tmp_path / "models"
    models.mkdir()
    torch.manual_seed(0)
    model = create_model("resnet8_digits", num_classes=10, in_channels=1)
    torch.save(model.state_dict(), models / "dense_0.pt")
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, torch.nn.Conv2d) and name != "conv1":
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.1)
    torch.save(model.state_dict(), models / "acdc_0.9.pt")
    (tmp_path / "s.toml").write_text(
        'name = "s"\ntasks = ["digits_parity"]\nkinds = ["linear", "full"]\nmethods = ["acdc"]\n'
        'sparsity = [0.9, 0.95]\npath = "{method}_{sparsity:g}.pt"\n'
        "[recipe]\nsize = 8\n[recipe.probe]\ngrid_step = 44\n[recipe.finetune]\nepochs = 1\nbatch_size = 256\n"
    )
    out = tmp_path / "out"
    words = ["transfer", "sweep", str(tmp_path / "s.toml"), "--out", str(out), "--models", str(models), "--speed"]
    assert main([*words, "--json"]) == 1  # acdc at 95 % does not exist
    found = json.loads(capsys.readouterr().out)
    assert {"speed of acdc 0.95, linear", "speed of acdc 0.95, full"} <= found["missing"].keys()
    lines = [line for line in (out / "speeds.csv").read_text().splitlines() if line[0] != "#"]
    rows = list(csv.DictReader(lines))
    assert [(row["kind"], row["method"], row["sparsity"]) for row in rows] == [
        ("linear", "acdc", "0.9"), ("full", "acdc", "0.9"),
    ]  # fmt: skip
    assert all(float(row["speed_up"]) > 0 and int(row["repeats"]) >= 5 for row in rows)
    assert {row.arch for row in read_results(out / "results.csv")} == {row["arch"] for row in rows}
    pytest.importorskip("matplotlib")
    figures = ["transfer", "plot", str(out / "results.csv"), "--out", str(tmp_path / "f"), "--resamples", "100"]
    assert main(figures) == 0  # speeds.csv beside the table is found
    assert len(list((tmp_path / "f").glob("speed_*.svg"))) == 2
