"""Whole transfers: the run folder, the commands, the page, and the defects of earlier code, one test each."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tamis.cli import main
from tamis.errors import FileError, UsageError
from tamis.kernels import choices
from tamis.report import write_report
from tamis.train import Interrupted, Optimizer, load_model
from tamis.transfer import (
    FineTuneOptions,
    ProbeOptions,
    TransferRecipe,
    _speed,
    extract_features,
    fine_tune,
    load_backbone,
    measure_speed,
    paper_options,
    paper_recipe,
    read_results,
    recipe_hash,
    run_transfer,
)
from tamis.transfer._finetune_state import FineTuning

from .tiny import TRANSFORM, TinyNet, tiny_network, tiny_task

LINEAR = TransferRecipe(speed=False, cache="none", probe=ProbeOptions(grid_step=11))
FULL = replace(LINEAR, how="full", finetune=FineTuneOptions(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.05)))


@pytest.fixture(autouse=True)
def _fixed_choices():
    mode, choices.mode = choices.mode, "sparse"
    yield
    choices.mode = mode


@pytest.fixture
def checkpoint(tmp_path):
    """A torch file with 90 % zeros and no masks."""
    model, _ = tiny_network()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "sparse.pth")
    return tmp_path / "sparse.pth"


def moved(recipe, checkpoint, folder, **how):
    backbone = load_backbone(checkpoint, TinyNet())
    return run_transfer(recipe, folder, backbone=backbone, task=tiny_task(), transform=TRANSFORM, **how)


@pytest.mark.parametrize("recipe", [LINEAR, FULL], ids=["linear", "full"])
def test_a_run_leaves_a_complete_folder(recipe, checkpoint, tmp_path):
    folder = tmp_path / "run"
    summary = moved(replace(recipe, speed=True), checkpoint, folder)
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert summary["sparsity_before"] == summary["sparsity_after"] > 0.8
    assert {row["phase"] for row in summary["speed"]["phases"]} >= {"extract", "head", "linear"}
    (row,) = read_results(folder / "results.csv")
    assert (row.kind, row.task, row.top1) == (recipe.how, "tiny", summary["top1"])
    assert row.selection == ("best_val" if recipe.how == "linear" else "last")
    outputs = np.load(folder / "outputs" / "test.npz", allow_pickle=False)
    assert (outputs["logits"].argmax(1) == outputs["predictions"]).all()
    assert float((outputs["predictions"] == outputs["labels"]).mean()) == pytest.approx(summary["top1"])
    page = write_report(folder).read_text()
    for words in ("Top-1 accuracy", "Mean accuracy per class", "Speed against dense", "Mask from", "all zero", "zeros"):
        assert words in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_the_written_model_gives_the_written_outputs(checkpoint, tmp_path):
    from tamis.models import create_model, register_model, unregister_model

    register_model("tiny", plain={})(lambda num_classes, in_channels: TinyNet(num_classes))
    try:
        torch.save(create_model("tiny", 5).state_dict(), tmp_path / "dense.pth")
        backbone = load_backbone(checkpoint, "tiny")
        task = tiny_task()
        run_transfer(FULL, tmp_path / "run", backbone=backbone, task=task, transform=TRANSFORM)
        model, header = load_model(tmp_path / "run" / "models" / "sparse.safetensors")
        assert header["architecture"]["num_classes"] == 3
        with torch.no_grad():
            logits = model(TRANSFORM.test(task.test.take(torch.arange(task.n_test))))
        stored = np.load(tmp_path / "run" / "outputs" / "test.npz", allow_pickle=False)["logits"]
        assert np.allclose(logits.numpy(), stored, atol=1e-5)
    finally:
        unregister_model("tiny")


def test_a_folder_with_a_run_is_not_overwritten_without_being_asked(checkpoint, tmp_path):
    moved(LINEAR, checkpoint, tmp_path / "run")
    with pytest.raises(UsageError, match="holds a run already"):
        moved(LINEAR, checkpoint, tmp_path / "run")
    (tmp_path / "run" / "mine.txt").write_text("keep")
    moved(LINEAR, checkpoint, tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "mine.txt").read_text() == "keep"


def test_a_stopped_run_resumes_to_the_same_result(checkpoint, tmp_path, monkeypatch):
    whole = moved(FULL, checkpoint, tmp_path / "whole")
    step, seen = FineTuning.train_step, []

    def stopping(run, images, labels):
        seen.append(1)
        if len(seen) == 4:
            signal_self()
        return step(run, images, labels)

    monkeypatch.setattr(FineTuning, "train_step", stopping)
    with pytest.raises(Interrupted, match="tamis transfer run"):
        moved(FULL, checkpoint, tmp_path / "cut")
    with pytest.raises(UsageError, match="another recipe, checkpoint or task"):
        moved(replace(FULL, seed=1), checkpoint, tmp_path / "cut", resume=True)
    page = write_report(tmp_path / "cut").read_text()
    assert "This transfer has not ended" in page
    assert "1 of 2 epochs have ended" in page
    assert f"--resume --out {tmp_path / 'cut'}" in page
    again = moved(FULL, checkpoint, tmp_path / "cut", resume=True)
    assert again["outcomes"] == whole["outcomes"]
    assert len(again["chosen"]["history"]) == 2
    with pytest.raises(UsageError, match="no transfer that could go on"):
        moved(FULL, checkpoint, tmp_path / "nothing", resume=True)


def test_an_unfinished_transfer_has_a_page_and_a_damaged_one_is_refused(checkpoint, tmp_path):
    moved(LINEAR, checkpoint, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    page = write_report(tmp_path / "run").read_text()
    assert "tiny, linear (frozen body)" in page
    assert "has not ended" in page
    (tmp_path / "run" / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": "x"}\n')
    with pytest.raises(FileError, match="damaged"):
        write_report(tmp_path / "run")


def signal_self():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGINT)


def test_the_paper_mode_trains_sgd_and_labels_what_was_chosen_on_test(checkpoint, tmp_path):
    recipe = paper_recipe(LINEAR, "tiny")
    recipe = replace(recipe, probe=replace(recipe.probe, epochs=3))
    summary = moved(recipe, checkpoint, tmp_path / "run")
    assert [row["selection"] for row in summary["outcomes"]] == ["last", "paper_best_test"]
    assert "not for statistics" in write_report(tmp_path / "run").read_text()


def test_nothing_of_ones_own_stays_among_the_papers_constants():
    mine = FineTuneOptions(epochs=3, clip_norm=1.0, ema_decay=0.9, label_smoothing=0.1, rates=(0.1,), packed="never")
    recipe = replace(TransferRecipe(), finetune=mine, probe=ProbeOptions(epochs=2, bn_refresh=1), norm="task")
    found = paper_recipe(recipe, "cars")
    assert found.finetune == replace(paper_options("cars"), packed="never")
    assert found.probe == replace(ProbeOptions(), solver="sgd", paper_best_test=True)
    assert (found.norm, paper_recipe(replace(recipe, how="full"), "cars").norm) == ("imagenet", "task")


def test_the_page_of_the_upstream_run_lists_its_transfers(checkpoint, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "recipe.toml").write_text('name = "up"\n')
    assert 'id="transfer"' not in write_report(tmp_path / "up").read_text()
    summary = moved(replace(LINEAR, method="acdc"), checkpoint, tmp_path / "up" / "transfer" / "tiny-linear")
    page = write_report(tmp_path / "up").read_text()
    assert 'id="transfer"' in page
    assert f"acdc, {100 * summary['sparsity_before']:.1f}" in page


def test_damaged_summaries_are_refused_by_name(checkpoint, tmp_path):
    moved(LINEAR, checkpoint, tmp_path / "run")
    file = tmp_path / "run" / "summary.json"
    file.write_text(json.dumps({"kind": "transfer", "task": "x", "how": "linear"}))
    with pytest.raises(FileError, match=r"summary\.json"):
        write_report(tmp_path / "run")


# ---- commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def digits_network(tmp_path):
    """A sparse network for 8 x 8 grey digits, as plain zeros."""
    from tamis.models import create_model

    torch.manual_seed(0)
    model = create_model("resnet8_digits", 10, 1)
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, torch.nn.Conv2d) and name != "conv1":
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.1)
    torch.save(model.state_dict(), tmp_path / "digits.pth")
    return str(tmp_path / "digits.pth")


def test_inspect_prints_style_and_masks(digits_network, capsys):
    assert main(["transfer", "inspect", digits_network]) == 0
    shown = capsys.readouterr().out
    assert "resnet8_digits.option_b" in shown
    assert "layer3.0.conv2" in shown
    assert main(["transfer", "inspect", digits_network, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["layer"]: row for row in found["layers"]}
    assert rows["layer3.0.conv2"]["source"] == "zeros"
    assert rows["conv1"]["source"] == "none"
    assert 0.85 < found["sparsity"] < 0.95


def test_inspect_shows_the_masks_of_a_network_that_it_does_not_know(checkpoint, capsys):
    assert main(["transfer", "inspect", str(checkpoint)]) == 0
    shown = capsys.readouterr().out
    assert "architecture   unknown" in shown
    assert "conv2" in shown


def test_extract_then_run_uses_the_cache(digits_network, tmp_path, capsys):
    pytest.importorskip("sklearn")
    common = ["--model", digits_network, "--data", "digits_parity", "--cache", str(tmp_path / "cache")]
    assert main(["transfer", "extract", *common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cached"] is False
    out = tmp_path / "run"
    flags = ["--probe.grid-step", "22", "--no-speed", "--no-report", "--out", str(out), "--json"]
    assert main(["transfer", "run", *common, *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["chosen"]["features_cached"] is True
    assert summary["test_images"] == 540
    assert main(["transfer", "run", str(out / "recipe.toml"), "--out", str(out)]) == 2  # holds a run already
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("how", "counts", "does_not"),
    [
        ("linear", {"probe": ProbeOptions(grid_step=2)}, {"finetune": FineTuneOptions(epochs=3)}),
        ("full", {"finetune": FineTuneOptions(epochs=3)}, {"probe": ProbeOptions(grid_step=2)}),
    ],
)
def test_the_recipe_hash_is_of_what_decides_the_accuracy(how, counts, does_not):
    base = TransferRecipe(how=how)
    assert recipe_hash(replace(base, **counts)) != recipe_hash(base)
    same = {"root": "elsewhere", "model": "x", "seed": 3, "cache": "none", **does_not}
    assert recipe_hash(replace(base, **same)) == recipe_hash(base)


def test_every_candidate_epoch_of_the_sgd_probe_is_logged(checkpoint, tmp_path):
    recipe = replace(LINEAR, probe=ProbeOptions(solver="sgd", epochs=3, validate=True))
    summary = moved(recipe, checkpoint, tmp_path / "run")
    assert summary["chosen"]["epoch"] == summary["outcomes"][0]["epoch"] == 3
    moved(recipe, checkpoint, tmp_path / "run", resume=True)  # begins anew; no row is there twice
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if row["kind"] == "candidate"] == [0, 1, 2]


def test_a_folder_is_named_as_its_task_and_archives_are_looked_for_under_root(
    digits_network, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "my photos.v1.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    quick = ["--probe.grid-step", "22", "--no-speed", "--no-report", "--cache", "none"]
    assert main(["transfer", "run", "--model", digits_network, "--data", "my photos.v1.npz", *quick]) == 0
    assert (tmp_path / "runs" / "transfer" / "my_photos.v1-linear" / "summary.json").is_file()
    assert main(["transfer", "run", "--model", digits_network, "--data", "pets", "--root", "attic", *quick]) == 2
    assert "attic" in capsys.readouterr().err


def test_a_style_of_ones_own_serves_inspect_extract_and_run(digits_network, tmp_path, capsys):
    pytest.importorskip("sklearn")
    weights = torch.load(digits_network, weights_only=True)
    torch.save({f"lab/{name}": value for name, value in weights.items()}, tmp_path / "lab.pth")
    (tmp_path / "lab.toml").write_text(
        """name = "lab"\nsigns = ['lab/.+']\n[[rules]]\npattern = 'lab/(.+)'\nname = "<1>"\n"""
    )
    lab, style = str(tmp_path / "lab.pth"), ["--style", str(tmp_path / "lab.toml")]
    common = ["--model", lab, "--data", "digits_parity", "--cache", str(tmp_path / "cache")]
    quick = ["--probe.grid-step", "44", "--no-speed", "--no-report", "--out", str(tmp_path / "run"), "--json"]
    assert main(["transfer", "run", *common, *quick]) == 2  # without the style its names fit no network
    assert "--style" in capsys.readouterr().err
    assert main(["transfer", "inspect", lab, *style]) == 0
    assert main(["transfer", "extract", *common, *style]) == 0
    capsys.readouterr()
    assert main(["transfer", "run", *common, *style, *quick]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["backbone"]["styles"] == ["lab"]
    assert summary["chosen"]["features_cached"] is True


def test_bad_usage_has_exit_code_2(capsys, tmp_path):
    assert main(["transfer", "run"]) == 2
    assert "--model" in capsys.readouterr().err
    assert main(["transfer", "run", "--model", str(tmp_path / "no.pth"), "--data", "digits_parity", "--no-report"]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["run", "inspect", "extract", "tasks", "sweep", "stats", "plot"])
def test_help_shows_no_remark_for_linters(part, capsys):
    assert main(["transfer", part, "--help"]) == 0
    assert "noqa" not in capsys.readouterr().out


def test_help_of_the_commands_does_not_import_torch():
    code = (
        "import sys; from tamis.cli import main\n"
        "codes = [main(['transfer', what, '--help']) for what in ('run', 'inspect', 'extract')]\n"
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


# ---- defects of earlier code (section 11 of the protocol) ----------------------------------------------------------


def test_defect_a_checkpoint_without_masks_became_dense_after_one_step(checkpoint):
    backbone = load_backbone(checkpoint, TinyNet())
    assert backbone.state.sparsity > 0.85
    found = fine_tune(backbone.model, backbone.masks, tiny_task(), TRANSFORM, FULL.finetune)
    zeros = int((found.model.conv2.weight == 0).sum()) / found.model.conv2.weight.numel()
    assert zeros > 0.85


def test_defect_batch_norms_of_a_frozen_body_moved(checkpoint, tmp_path):
    backbone = load_backbone(checkpoint, TinyNet())
    before = {key: value.clone() for key, value in backbone.model.state_dict().items() if not key.startswith("fc")}
    extract_features(backbone.model.train(), tiny_task(), TRANSFORM)
    moved(LINEAR, checkpoint, tmp_path / "run")
    backbone.model.eval()
    after = backbone.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_defect_the_optimizer_lost_parameters_whose_names_were_cut():
    model, masks = tiny_network()
    run = FineTuning(model, masks, "fc", FineTuneOptions())
    trained = {id(parameter) for group in run.optimizer.param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in model.parameters()}


def test_defect_parameters_that_were_frozen_upstream_stayed_frozen():
    model, masks = tiny_network(share=0.3)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = fine_tune(model, masks, tiny_task(), TRANSFORM, FULL.finetune)
    assert not torch.equal(found.model.conv2.weight, model.conv2.weight)


def test_defect_the_best_epoch_was_chosen_on_test():
    model, masks = tiny_network(share=0.3)
    options = replace(FULL.finetune, validate=True)
    task = tiny_task()
    scrambled = replace(task, test=replace(task.test, labels=(task.test.labels + 1) % 3))
    first = fine_tune(model, masks, task, TRANSFORM, options)
    second = fine_tune(model, masks, scrambled, TRANSFORM, options)  # other test labels, same choices
    assert [row.epoch for row in first.outcomes] == [row.epoch for row in second.outcomes]
    assert {row.selection for row in first.outcomes} == {"last", "best_val"}
    assert torch.equal(first.outcomes[1].logits, second.outcomes[1].logits)


def test_defect_tasks_with_fewer_than_1000_samples_crashed(checkpoint, tmp_path):
    assert moved(LINEAR, checkpoint, tmp_path / "run")["train_images"] == 48


def test_defect_two_runs_had_one_name(checkpoint, tmp_path):
    first = moved(LINEAR, checkpoint, tmp_path / "a")
    second = moved(replace(LINEAR, seed=1), checkpoint, tmp_path / "b")
    ids = {read_results(tmp_path / name / "results.csv")[0].run_id for name in "ab"}
    assert len(ids) == 2
    assert first["recipe_hash"] == second["recipe_hash"]  # a seed is no other recipe


def test_defect_a_timer_was_never_assigned(monkeypatch):
    # clocks that move one millisecond whenever they are read: each phase takes one of wall and one of CPU time
    wall, cpu = itertools.count(), itertools.count()
    clocks = SimpleNamespace(perf_counter=lambda: next(wall) / 1000, process_time=lambda: next(cpu) / 1000)
    monkeypatch.setattr(_speed, "time", clocks)
    model, masks = tiny_network()
    images, labels = torch.randn(6, 3, 8, 8), torch.randint(3, (6,))
    found = measure_speed(model, masks, images, labels)
    names = [row.phase for row in found.phases]
    assert names == ["extract", "head", "forward", "backward", "mask", "step", "linear", "full"]
    for row in found.phases:
        parts = 4 if row.phase == "full" else 1
        times = (row.dense_wall_ms, row.sparse_wall_ms, row.dense_cpu_ms, row.sparse_cpu_ms)
        assert times == pytest.approx((parts,) * 4)
        assert row.repeats == 5
    assert found.phase("mask").speedup is None
    assert [(row.layer, row.kernel) for row in found.layers] == [("conv1", "dense, masked"), ("conv2", "sparse")]
    assert "216 weights" in found.layers[0].why
    with pytest.raises(UsageError, match="at least 5"):
        measure_speed(model, masks, images, labels, repeats=4)
    with pytest.raises(UsageError, match="no masks"):
        measure_speed(model, {}, images, labels)
    assert not model.training
    assert type(model.conv2) is torch.nn.Conv2d  # the model itself is left alone


def test_defect_features_took_quadratic_time_in_the_number_of_images():
    class Counting(TinyNet):
        images = 0

        def forward(self, x):
            Counting.images += len(x)
            return super().forward(x)

    for count in (48, 96):
        Counting.images = 0
        extract_features(Counting(), tiny_task(n_train=count), TRANSFORM, batch_size=10)
        assert Counting.images == count + 30


def test_defect_a_last_smaller_batch_built_a_second_engine():
    model, masks = tiny_network()
    run = FineTuning(model, masks, "fc", FineTuneOptions())
    pattern = run.model.conv2.pattern
    for size in (16, 5):
        run.train_step(torch.randn(size, 3, 8, 8), torch.randint(3, (size,)))
    assert run.model.conv2.pattern is pattern


def test_defect_the_first_key_decided_about_prefixes(tmp_path):
    model, _ = tiny_network()
    state = {"module.extra": torch.ones(1), **model.state_dict()}
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(FileError, match=r"unexpected: module\.extra"):
        load_backbone(tmp_path / "odd.pth", TinyNet())


def test_no_experiment_tracker_and_no_torchvision_is_imported():
    code = (
        "import sys, tamis.transfer as t\n"
        "[getattr(t, name) for name in t.__all__]\n"
        "sys.exit(bool({'wandb', 'tensorboard', 'torchvision', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
