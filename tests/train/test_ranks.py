"""Several processes that train one model: shares, sums, equal masks, resuming, and a process that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamis.methods import METHODS
from tamis.train import Data, Interrupted, Model, Optimizer, Ranks, Train, fit, load_checkpoint, save_recipe

from .method_recipes import recipe
from .rank_job import RESTLESS

JOB = Path(__file__).with_name("rank_job.py")


def job(world: int, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(world), str(JOB)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TAMIS_CACHE": "", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    return subprocess.Popen(
        [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def rows_of(world: int, *words: object) -> list[dict]:
    process = job(world, *words)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-3000:]
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def without_norms(method: str = "gmp", epochs: int = 4):
    """A network without batch norm: the mean gradient of a batch does not depend on how it is split."""
    made = recipe(method)
    return replace(
        made,
        data=Data("synthetic", crop_padding=1),
        model=Model("mlp.plain", {"hidden": (64, 32)}),
        optimizer=Optimizer(lr=0.02),
        train=Train(epochs=epochs, batch_size=100),
    )


@given(count=st.integers(1, 70), world=st.integers(1, 8))
def test_shares_make_up_the_batch_and_their_weights_its_mean(count, world):
    images, labels = torch.arange(float(count)), torch.arange(count)
    parts = [Ranks(rank, world).share(images, labels) for rank in range(world)]
    seen = torch.cat([part for part, _, _ in parts])
    if count >= 2 * world:
        assert torch.equal(seen, images)
        assert min(len(part) for part, _, _ in parts) >= 2
    else:
        assert all(torch.equal(part, images) for part, _, _ in parts)
    mean = sum(weight * part.double().mean() for part, _, weight in parts) / world
    assert float(mean) == pytest.approx(float(images.double().mean()), rel=1e-12)


def test_every_method_has_equal_masks_on_two_processes_and_reduces_live_weights_only(tmp_path):
    rows = rows_of(2, "methods", tmp_path)
    assert {row["method"] for row in rows} == set(METHODS)
    assert all(row["hashes"] > 0 for row in rows)
    reduced = {(row["method"], row["packed"]): row["bytes"] for row in rows}
    for method in METHODS:
        if METHODS[method].dense_gradients or method in RESTLESS:  # these train all weights
            assert reduced[method, "auto" if method in RESTLESS else "always"] == reduced[method, "never"]
        else:
            assert reduced[method, "always"] < 0.9 * reduced[method, "never"], method


@pytest.mark.parametrize("world", [1, 4])
def test_a_run_of_two_processes_is_resumed_by_another_number(tmp_path, world):
    made = without_norms()
    save_recipe(made, tmp_path / "given.toml")
    folder, source = tmp_path / "run", tmp_path / "given.toml"
    (stopped,) = rows_of(2, "fit", folder, source, "stop=7")
    assert "stopped after step 7; go on with: tamis train" in stopped["stopped"]
    assert load_checkpoint(folder / "checkpoints" / "last.safetensors").header["progress"]["step"] == 7
    if world == 1:
        fit(made, folder, resume=True)
    else:
        (row,) = rows_of(world, "fit", folder, source, "resume")
        assert row["steps"] > 7
    fit(made, tmp_path / "alone")
    ours, theirs = (
        load_checkpoint(tmp_path / name / "checkpoints" / "last.safetensors").model for name in ("run", "alone")
    )
    for key in theirs:  # sums in another order: rounding, and no more
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")
    assert all(torch.equal(ours[key] == 0, theirs[key] == 0) for key in theirs)


def test_a_killed_process_ends_the_job_with_a_message_and_a_checkpoint(tmp_path):
    made = without_norms(epochs=5000)
    save_recipe(made, tmp_path / "given.toml")
    folder = tmp_path / "run"
    process = job(2, "fit", folder, tmp_path / "given.toml")
    log = folder / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (log.exists() and log.read_text().count('"epoch"') >= 3):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.2)
    os.kill(sorted(workers_of(process.pid))[-1], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "lost another one of 2" in err or "--resume" in err
    step = load_checkpoint(folder / "checkpoints" / "last.safetensors").header["progress"]["step"]
    assert step > 0
    short = replace(made, train=replace(made.train, epochs=5000))
    with pytest.raises(Interrupted):  # it goes on, until it is asked to stop
        _resume_for_a_moment(short, folder)
    assert load_checkpoint(folder / "checkpoints" / "last.safetensors").header["progress"]["step"] > step


def _resume_for_a_moment(made, folder):
    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    try:
        fit(made, folder, resume=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def workers_of(parent: int) -> list[int]:
    """Process numbers of the direct children."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in text.split()]
