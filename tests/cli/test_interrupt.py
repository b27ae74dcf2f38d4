"""Ctrl-C on the real command: exit code 130, a message, and a run that resumes."""

import signal
import subprocess
import sys
import time

from tamis.cli import main
from tamis.train import read_metrics


def test_ctrl_c_leaves_a_run_that_resumes(tmp_path, recipe_file):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "tamis.cli", "train", recipe_file, "--out", str(folder), "--train.epochs", "100"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = folder / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 0):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("tamis train: stopped after")
    assert f"tamis train {folder}/recipe.toml --resume --out {folder}" in last
    assert main(["train", str(folder / "recipe.toml"), "--resume", "--out", str(folder)]) == 0
    epochs = [row["epoch"] for row in read_metrics(log) if row["kind"] == "epoch"]
    assert epochs == list(range(100))
