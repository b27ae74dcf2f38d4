"""Layer collapse on a toy: how AC/DC's distributions behave at 95 and 98 % on the digits of scikit-learn.

A batch-norm MLP 64-512-512-10, torch's default initialisation, SGD .1/.9 with weight decay 5e-4 and a cosine, 60 epochs
of batch 64; sparse phases start at epochs 6, 12, 18, 24, 30, 36, 50 and dense ones at 9, 15, 21, 27, 33, 42; a 70/30
split, three seeds.  Every row stands beside the accuracy and the largest share of exact zeros at the end of a dense
phase that an independent implementation measured (``measured_layer_collapse`` in tests/golden/pruning.json).

Run ``python benchmarks/acdc_toy.py``: three and a half minutes of one core.  Writes the table
benchmarks/results/acdc_toy.csv.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.methods import ACDC, CollapseWarning
from tamis.sparsity import ERK, Distribution, Global, Phase, Uniform
from tamis.storage import write_atomic

EPOCHS, BATCH = 60, 64
BOUNDARIES = (6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 42, 50)
DISTRIBUTIONS: dict[str, Distribution] = {
    "global": Global(floor=0),
    "global, floor 0.2": Global(floor=0.2),
    "global, layer-L2-normalised": Global(floor=0, normalise="l2"),
    "uniform": Uniform(),
    "ERK": ERK(),
}
COLUMNS = (
    "sparsity", "distribution", "seed", "accuracy", "reference_accuracy", "dense_phase_zeros", "reference_zeros",
    "live_share_1", "live_share_2", "live_share_3", "collapsed", "cpu_seconds",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """What one run ends with: accuracy on the held-out 30 %, the largest dense-phase zero share, live shares."""

    accuracy: float
    zeros: float
    live_share: tuple[float, ...]
    collapsed: bool
    seconds: float


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training inputs (1257, 64) in [0, 1] and labels, held-out inputs (540, 64) and labels."""
    raw = load_digits()
    parts = train_test_split(raw.data / 16.0, raw.target, test_size=0.3, random_state=0)
    train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in parts)
    return train_x.float(), train_y, test_x.float(), test_y


def network() -> nn.Sequential:
    """The batch-norm MLP 64-512-512-10."""
    return nn.Sequential(
        nn.Linear(64, 512), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 10),
    )  # fmt: skip


def phases() -> tuple[Phase, ...]:
    """Dense first, alternating at the boundaries, in epochs."""
    edges = [0, *BOUNDARIES, EPOCHS]
    return tuple(Phase("sparse" if i % 2 else "dense", start, end) for i, (start, end) in enumerate(pairwise(edges)))


def run(sparsity: float, distribution: Distribution, seed: int, **options: Any) -> Outcome:
    """Train one network with AC/DC; ``options`` go to :class:`tamis.ACDC`."""
    train_x, train_y, test_x, test_y = digits()
    torch.manual_seed(seed)
    model = network()
    steps_per_epoch = -(-len(train_x) // BATCH)
    total = EPOCHS * steps_per_epoch
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    began = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CollapseWarning)
        sparsifier = ACDC(
            sparsity, total, schedule=phases(), distribution=distribution, on_collapse="warn", **options
        ).attach(model, optimizer)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(train_x)).split(BATCH):
                optimizer.zero_grad()
                F.cross_entropy(model(train_x[chosen]), train_y[chosen]).backward()
                optimizer.step()
                scheduler.step()
    seconds = time.process_time() - began
    unexpected = [entry.message for entry in caught if not issubclass(entry.category, CollapseWarning)]
    if unexpected:
        raise RuntimeError(f"unexpected warnings: {unexpected}")
    model.eval()
    with torch.no_grad():
        accuracy = float((model(test_x).argmax(dim=1) == test_y).double().mean())
    report = sparsifier.report()
    dense_ends = [row["zero_share"] for row in report["phases"] if row["phase"] == "dense" and row["start"]]
    live = tuple(row["live"] / row["total"] for row in report["layers"])
    return Outcome(accuracy, max(dense_ends), live, 0.0 in live, seconds)


def main() -> None:
    torch.set_num_threads(1)
    vectors = json.loads((ROOT / "tests" / "golden" / "pruning.json").read_text())["measured_layer_collapse"]["rows"]
    expected = {(row[0], row[1]): row for row in vectors}
    sink = io.StringIO()
    table = csv.writer(sink, lineterminator="\n")
    table.writerow(COLUMNS)
    for sparsity in (0.95, 0.98):
        for name, distribution in DISTRIBUTIONS.items():
            for seed in range(3):
                outcome = run(sparsity, distribution, seed)
                reference = expected[sparsity, name]
                row = [sparsity, name, seed, f"{outcome.accuracy:.3f}", reference[2][seed], f"{outcome.zeros:.3f}"]
                row += [reference[3][seed], *(f"{share:.4f}" for share in outcome.live_share)]
                table.writerow([*row, int(outcome.collapsed), f"{outcome.seconds:.1f}"])
                print(*row, f"{outcome.seconds:.1f} s", sep="\t", file=sys.stderr)
    print(write_atomic(ROOT / "benchmarks" / "results" / "acdc_toy.csv", sink.getvalue()).name)


if __name__ == "__main__":
    main()
