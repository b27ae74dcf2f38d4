"""Whole transfers: the run folder, resuming, the page, and what decides a run's identity."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tamis.errors import FileError, UsageError
from tamis.report import write_report
from tamis.train import Interrupted, load_model
from tamis.transfer import (
    FineTuneOptions,
    ProbeOptions,
    TransferRecipe,
    load_backbone,
    paper_options,
    paper_recipe,
    read_results,
    recipe_hash,
    run_transfer,
)
from tamis.transfer._finetune_state import FineTuning

from .tiny import TRANSFORM, TinyNet, tiny_task
from .transfer_runs import FULL, LINEAR, moved

pytestmark = pytest.mark.usefixtures("sparse_side")


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
