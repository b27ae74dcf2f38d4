"""Full fine-tuning of a sparse ResNet-18 at 64 pixels against dense, as ``tamis transfer run`` itself measures it.

    OMP_NUM_THREADS=1 python benchmarks/transfer_step.py [--sparsity 0.95] [--turns 7]

A ResNet-18 with a random mask is written as an ordinary torch checkpoint (zeros, no masks), moved to a made-up task of
64 x 64 images by the command, and the phases that the command measured are written to results/transfer_step.csv.  Times
do not depend on what the images show; accuracies of this run mean nothing and are not written.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from tamis.bench import describe_machine, write_csv
from tamis.cli import main as tamis
from tamis.models import create_model

RESULTS = Path(__file__).parent / "results" / "transfer_step.csv"
COLUMNS = ("phase", "dense_cpu_ms", "sparse_cpu_ms", "cpu_speedup", "dense_wall_ms", "sparse_wall_ms", "speedup",
           "speedup_low", "speedup_high", "repeats")  # fmt: skip


def write_inputs(folder: Path, sparsity: float, images: int) -> tuple[Path, Path]:
    torch.manual_seed(0)
    model = create_model("resnet18", 1000)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.masked_fill_(torch.rand_like(layer.weight) < sparsity, 0.0)
    torch.save(model.state_dict(), folder / "resnet18.pth")
    rng = np.random.default_rng(0)
    arrays = {
        f"x_{split}": rng.integers(0, 256, (count, 64, 64, 3), np.uint8)
        for split, count in (("train", images), ("test", 16))
    }
    arrays |= {"y_train": np.arange(images) % 10, "y_test": np.arange(16) % 10}
    np.savez(folder / "task.npz", **arrays)
    return folder / "resnet18.pth", folder / "task.npz"


def measure(sparsity: float, turns: int) -> dict:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        checkpoint, task = write_inputs(folder, sparsity, 64)
        words = [
            *("transfer", "run", "--model", checkpoint, "--data", task, "--how", "full", "--size", "64"),
            *("--finetune.epochs", "1", "--repeats", turns, "--no-report", "--json", "--out", folder / "run"),
        ]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = tamis([str(word) for word in words])
        if code:
            raise SystemExit(code)
        return json.loads(printed.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sparsity", type=float, default=0.95)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    machine = describe_machine([])
    summary = measure(options.sparsity, options.turns)
    speed = summary["speed"]
    setting = {
        "network": "resnet18", "pixels": 64, "batch": speed["batch_size"], "threads": speed["threads"],
        "sparsity": round(summary["sparsity_before"], 4),
    }  # fmt: skip
    rows = [{**setting, **{name: row[name] for name in COLUMNS}} for row in speed["phases"] if row["phase"] != "linear"]
    write_csv(RESULTS, rows, machine)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
