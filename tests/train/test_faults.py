"""A disk that fills at every write in turn, clocks that jump, memory that runs out: one message, nothing lost."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
import torch

from tamis.errors import FileError
from tamis.train import fit, load_container, parse_recipe, read_metrics

RECIPE = """
name = "small"
method = "gmp"
sparsity = 0.8
[data]
source = "synthetic"
[model]
name = "mlp.plain"
options = { hidden = [12] }
[optimizer]
lr = 0.05
[train]
epochs = 3
batch_size = 32
packed = "always"
"""


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(RECIPE)


def state(folder):
    """Tensors of all files that hold some, and the rows of the log without times."""
    files = [*sorted((folder / "models").iterdir()), folder / "checkpoints" / "last.safetensors"]
    tensors = {f"{file.name}:{k}": t.numpy().tobytes() for file in files for k, t in load_container(file)[0].items()}
    rows = [
        (row["epoch"], row["train_loss"]) for row in read_metrics(folder / "metrics.jsonl") if row["kind"] == "epoch"
    ]
    return tensors, rows


class FullDisk:
    """Makes the ``at``-th fsync fail, and every later one; counts them all."""

    def __init__(self, monkeypatch, at):
        self.count, self.at, self.real = 0, at, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, handle):
        self.count += 1
        if self.at and self.count >= self.at:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.real(handle)


def test_a_disk_that_fills_at_any_write_stops_the_run_with_one_message_and_loses_nothing(
    data, recipe, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        disk = FullDisk(patch, 0)
        fit(recipe, tmp_path / "whole", data=data)
    whole, writes = state(tmp_path / "whole"), disk.count
    assert writes > 15
    for at in range(1, writes + 1):
        folder = tmp_path / f"full_{at}"
        with monkeypatch.context() as patch:
            FullDisk(patch, at)
            try:
                fit(recipe, folder, data=data)
            except FileError as error:
                words = str(error)
            else:  # the folder's own fsync, of which the name does not depend
                words = "No space left on device; " + str(folder)
        assert "No space left on device" in words
        assert str(folder) in words
        assert not list(folder.rglob("*.part"))
        for file in folder.rglob("*.safetensors"):
            load_container(file)
        if (folder / "metrics.jsonl").exists():
            read_metrics(folder / "metrics.jsonl")
        resume = (folder / "checkpoints" / "last.safetensors").exists()
        assert ("--resume" in words) <= resume
        fit(recipe, folder, data=data, resume=resume, overwrite=not resume)
        assert state(folder) == whole


def test_a_row_that_cannot_be_written_is_not_written_later(tmp_path, monkeypatch):
    from tamis.train import MetricsLog

    with MetricsLog(tmp_path / "m.jsonl") as log:
        log.append({"kind": "note", "text": "first"})
        with monkeypatch.context() as patch:
            FullDisk(patch, 1)
            with pytest.raises(OSError, match="No space left") as error:
                log.append({"kind": "note", "text": "second"})
        assert error.value.filename == str(tmp_path / "m.jsonl")
    assert [row["text"] for row in read_metrics(tmp_path / "m.jsonl")] == ["first"]


def test_a_half_written_last_row_is_cut_before_the_next_is_appended(tmp_path):
    from tamis.train import MetricsLog

    (tmp_path / "m.jsonl").write_text('{"kind": "note", "text": "first"}\n{"kind": "no')
    with MetricsLog(tmp_path / "m.jsonl", keep=46) as log:
        log.append({"kind": "note", "text": "second"})
    assert [row["text"] for row in read_metrics(tmp_path / "m.jsonl")] == ["first", "second"]


def test_clocks_that_jump_change_no_result(data, recipe, tmp_path, monkeypatch):
    fit(recipe, tmp_path / "steady", data=data)
    now = [4e9]

    def jumping():
        now[0] += 3600.0 if int(now[0]) % 2 else -7201.0
        return now[0]

    for clock in ("time", "monotonic", "perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, jumping)
    fit(recipe, tmp_path / "jumping", data=data)
    assert state(tmp_path / "jumping") == state(tmp_path / "steady")


def test_a_folder_that_cannot_be_written_is_one_message(data, recipe, tmp_path, monkeypatch):
    real = Path.open

    def refuse(path, mode="r", *more, **others):
        if mode == "xb":
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, mode, *more, **others)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileError, match=r"recipe\.toml: Read-only file system; free the disk or make it writable"):
        fit(recipe, tmp_path / "run", data=data)


def test_a_resume_without_a_checkpoint_says_that_nothing_was_trained(data, recipe, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(FileError, match="nothing was trained yet; start with --overwrite"):
        fit(recipe, tmp_path / "run", data=data, resume=True)


def test_memory_that_runs_out_in_training_leaves_the_last_checkpoint(data, recipe, tmp_path, monkeypatch):
    fit(recipe, tmp_path / "whole", data=data)
    with monkeypatch.context() as patch:
        patch.setattr("tamis.train._loop.F.cross_entropy", _failing_at(4))
        with pytest.raises(MemoryError):
            fit(recipe, tmp_path / "cut", data=data)
    fit(recipe, tmp_path / "cut", data=data, resume=True)
    assert state(tmp_path / "cut") == state(tmp_path / "whole")


def _failing_at(at):
    real, seen = torch.nn.functional.cross_entropy, []

    def loss(*arguments, **more):
        seen.append(1)
        if len(seen) == at:
            raise MemoryError
        return real(*arguments, **more)

    return loss
