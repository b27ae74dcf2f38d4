"""An interrupted and resumed run equals the uninterrupted one, bit for bit."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from tamis.errors import FileError, UsageError
from tamis.train import OPTIONS, Interrupted, fit, load_checkpoint, read_metrics
from tamis.train import _loop as loop

METHODS = {
    "dense": {},
    "acdc masked": {"method": "acdc", "packed": "never"},
    "acdc packed": {"method": "acdc", "packed": "always"},
    "gmp packed": {"method": "gmp", "packed": "always"},
    "rigl packed": {"method": "rigl", "packed": "always"},
    "dpf packed": {"method": "dpf", "packed": "always"},
    "lottery ticket": {"method": "lotteryticket", "packed": "always"},
    "obert": {"method": "obert", "packed": "always"},
    "acdc with adam": {"method": "acdc", "packed": "always", "optimizer": "adamw"},
}
LENGTHS = {"warmup": 1, "sparse": 1, "dense": 1, "last_dense": 1, "last_sparse": 2}
CHOSEN = {
    "acdc": LENGTHS,
    "gmp": {"events": 4, "start": 0.1},
    "rigl": {"every": 2},
    "dpf": {"every": 3},
    "lotteryticket": {"fraction": 0.5},
    "obert": {"events": 3, "gradients": 8, "block": 8},
}
CHANGING = ("cpu_s", "wall_s", "step_cpu_ms", "timed_steps")


def recipe_of(small, method: str = "dense", packed: str = "auto", optimizer: str = "sgd"):
    return replace(
        small,
        method=method,
        sparsity=0.0 if method == "dense" else 0.7,
        options=OPTIONS[method](**CHOSEN.get(method, {})),
        train=replace(small.train, packed=packed),
        optimizer=replace(small.optimizer, name=optimizer, lr=0.05 if optimizer == "sgd" else 0.005),
    )


def stop_after(monkeypatch, step: int) -> None:
    """Send this process a real SIGINT while the given step is being counted."""
    count = loop.count

    def counted(run, *arguments):
        if run.progress.step + 1 == step:
            os.kill(os.getpid(), signal.SIGINT)
        return count(run, *arguments)

    monkeypatch.setattr(loop, "count", counted)


def tensors(folder):
    checkpoint = load_checkpoint(folder / "checkpoints" / "last.safetensors")
    state = {f"{i}:{k}": v for i, s in checkpoint.optimizer["state"].items() for k, v in s.items() if v is not None}
    method = checkpoint.method["tensors"] if checkpoint.method else {}
    return {**checkpoint.model, **state, **method, "rng": checkpoint.random["torch"]}


def rows(folder):
    kept = [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] != "speed"]
    return [{key: value for key, value in row.items() if key not in CHANGING} for row in kept]


@pytest.fixture(scope="module")
def uninterrupted(data, small, tmp_path_factory):
    """Run folder and summary of each method, trained once without a stop."""
    known = {}

    def trained(method: str):
        if method not in known:
            folder = tmp_path_factory.mktemp("whole")
            known[method] = (folder, fit(recipe_of(small, **METHODS[method]), folder, data=data))
        return known[method]

    return trained


# Five steps an epoch: 8 is in the middle of one (sparse in AC/DC), 15 ends one and a phase.
@pytest.mark.parametrize("step", [8, 15])
@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, data, monkeypatch, small, uninterrupted, method, step):
    recipe = recipe_of(small, **METHODS[method])
    whole_folder, whole = uninterrupted(method)
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(Interrupted, match="--resume"):
            fit(recipe, tmp_path / "parts", data=data)
    torch.manual_seed(999)  # the state of the process must not matter
    parts = fit(recipe, tmp_path / "parts", data=data, resume=True)
    first, second = tensors(whole_folder), tensors(tmp_path / "parts")
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert rows(whole_folder) == rows(tmp_path / "parts")
    assert (whole["accuracy_sparse"], whole["pair"], whole["best"]) == (
        parts["accuracy_sparse"],
        parts["pair"],
        parts["best"],
    )


def test_a_finished_run_that_is_resumed_only_finishes_again(tmp_path, data, small):
    fit(recipe_of(small, "acdc"), tmp_path, data=data)
    before = tensors(tmp_path)
    fit(recipe_of(small, "acdc"), tmp_path, data=data, resume=True)
    after = tensors(tmp_path)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert len([row for row in read_metrics(tmp_path / "metrics.jsonl") if row["kind"] == "epoch"]) == 7


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path, data, small):
    with pytest.raises(FileError, match=r"last\.safetensors"):
        fit(small, tmp_path, data=data, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_another_recipe_cannot_resume_and_the_difference_is_named(tmp_path, data, small):
    recipe = replace(small, train=replace(small.train, epochs=1))
    fit(recipe, tmp_path, data=data)
    with pytest.raises(UsageError, match=r"epochs = 2"):
        fit(replace(recipe, train=replace(recipe.train, epochs=2)), tmp_path, data=data, resume=True)


def test_a_folder_with_a_run_is_not_overwritten_unasked(tmp_path, data, small):
    recipe = replace(small, train=replace(small.train, epochs=0))
    fit(recipe, tmp_path, data=data)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds a run already"):
        fit(recipe, tmp_path, data=data)
    fit(recipe, tmp_path, data=data, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
