"""Defects of earlier transfer code (section 11 of the protocol), one test each."""

import itertools
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tamis.errors import FileError, UsageError
from tamis.transfer import (
    FineTuneOptions,
    _speed,
    extract_features,
    fine_tune,
    load_backbone,
    measure_speed,
    read_results,
)
from tamis.transfer._finetune_state import FineTuning

from .tiny import TRANSFORM, TinyNet, tiny_network, tiny_task
from .transfer_runs import FULL, LINEAR, moved

pytestmark = pytest.mark.usefixtures("sparse_side")


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
