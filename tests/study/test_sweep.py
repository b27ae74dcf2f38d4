"""The transfer sweep: which cells there are, that each is run once, and that nothing is lost or hidden."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tamis.errors import UsageError
from tamis.models import create_model
from tamis.study import TransferSweep, UpstreamModel, load_sweep, run_sweep, sweep_cells, sweep_models
from tamis.study import _sweep_run as sweep_run
from tamis.train import parse_table
from tamis.transfer import Table, read_results

from .sweep_work import dies, fails_once, fake, sweep_of


@pytest.fixture
def in_threads(monkeypatch):
    """Cells run in a thread of this process: the sweep's own logic, without a second interpreter."""

    @contextmanager
    def executor(workers):
        with ThreadPoolExecutor(workers) as found:
            yield found

    monkeypatch.setattr(sweep_run, "local_executor", executor)


def run(home: Path, sweep: TransferSweep | None = None, work=fake, **extra):
    return run_sweep(sweep or sweep_of(home / "models"), home / "out", models=home / "models", work=work, **extra)


def calls(home: Path) -> list[str]:
    return (home / "out" / "calls.txt").read_text().split()


def values(home: Path) -> dict[tuple, float]:
    return {row.key: row.value for row in read_results(home / "out" / "results.csv")}


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


def test_a_cell_that_fails_is_named_and_tried_again(tmp_path, in_threads):
    found = run(tmp_path, work=fails_once)
    assert found.missing == {"gmp_80-digits_parity-full-s0": "ValueError: a bad day"}
    assert len(found.done) == 7
    again = run(tmp_path, work=fails_once)
    assert not again.missing
    assert len(values(tmp_path)) == 8


def test_a_second_writer_is_locked_out(tmp_path, in_threads):
    sweep_of(tmp_path / "models")
    with Table.open(tmp_path / "out" / "results.csv"), pytest.raises(UsageError, match="another process writes"):
        run(tmp_path)


def test_a_killed_sweep_resumes_to_the_same_table(tmp_path, in_threads):
    whole = tmp_path / "whole"
    run(whole)
    killed = tmp_path / "killed"
    script = [sys.executable, str(Path(__file__).with_name("sweep_work.py")), str(killed)]
    table = killed / "out" / "results.csv"
    with subprocess.Popen(script, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not table.exists() or len(table.read_text().splitlines()) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    before = len(table.read_text().splitlines()) - 1
    assert 2 <= before < 8
    deadline = time.monotonic() + 30
    while (found := run(killed)) and found.missing:
        assert time.monotonic() < deadline
    strip = lambda rows: {key[:8]: value for key, value in rows.items()}  # noqa: E731 - the weights' digests differ
    assert strip(values(killed)) == strip(values(whole))
    assert len(read_results(table)) == 8


def test_ctrl_c_waits_for_the_running_cell_and_the_same_command_goes_on(tmp_path, in_threads):
    script = [sys.executable, str(Path(__file__).with_name("sweep_work.py")), str(tmp_path)]
    table = tmp_path / "out" / "results.csv"
    with subprocess.Popen(script, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not table.exists() or len(table.read_text().splitlines()) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert "Interrupted: stopped with" in said
    assert "the same command goes on" in said
    done = read_results(table)
    assert 1 <= len(done) < 8
    assert len(calls(tmp_path)) == len(done)  # what had begun was waited for
    run(tmp_path)
    assert len(read_results(table)) == len(calls(tmp_path)) == 8


def test_a_cell_that_kills_its_process_fails_alone(tmp_path):
    found = run(tmp_path, sweep_of(tmp_path / "models", seeds=(0,), tasks=("digits_parity",)), work=dies)
    assert list(found.missing) == ["gmp_80-digits_parity-full-s0"]
    assert found.done == ("dense-digits_parity-full-s0",)


def test_a_dask_cluster_gives_the_same_table(tmp_path, in_threads):
    distributed = pytest.importorskip("distributed")
    run(tmp_path / "here")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, silence_logs=50
    ) as cluster:
        run(tmp_path / "there", cluster=cluster.scheduler_address)
    here, there = ({key[:8]: v for key, v in values(tmp_path / n).items()} for n in ("here", "there"))
    assert here == there


def test_no_cluster_at_an_address_is_bad_usage(tmp_path):
    pytest.importorskip("distributed")
    from tamis.study._sweep_pool import cluster_executor

    with pytest.raises(UsageError, match="no Dask scheduler"), cluster_executor("nowhere"):
        pass


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
