"""Bytes of gradients that a process gives to all-reduce in a training step, packed against dense.

python -m torch.distributed.run --nproc-per-node 2 benchmarks/distributed_bytes.py [--csv FILE]

Networks as `tamis train` wraps them (`tamis.nn.Replicas`), OneShot with its default distribution, gloo.  Milliseconds
are wall time of a whole step, the median of 10; processes share one machine, so they say little about a network.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

import tamis
from tamis.bench import describe_machine, write_csv
from tamis.models import create_model
from tamis.nn import Replicas

TARGET = Path(__file__).resolve().parent / "results" / "distributed_bytes.csv"
CASES = {"resnet20": (3, (32, 32), 10), "resnet18": (3, (64, 64), 10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=TARGET)
    target = parser.parse_args().csv
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rows: list[dict[str, Any]] = []
    for name in CASES:
        for sparsity in (0.0, 0.9, 0.95, 0.98):
            rows.append(measured(name, sparsity))
            rows[-1]["bytes_over_dense"] = round(
                rows[-1]["bytes"] / next(r["bytes"] for r in rows if r["model"] == name), 4
            )
            if dist.get_rank() == 0:
                print(rows[-1], flush=True)
                write_csv(target, rows, describe_machine())
    dist.destroy_process_group()


def measured(name: str, sparsity: float) -> dict[str, Any]:
    """One row; sparsity 0 is dense training without a sparsifier."""
    channels, size, classes = CASES[name]
    torch.manual_seed(0)
    network = create_model(name, num_classes=classes, in_channels=channels, image_size=size)
    model = Replicas(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    if sparsity:
        tamis.OneShot(sparsity).attach(model, optimizer)
    images, labels = torch.randn(16, channels, *size), torch.randint(classes, (16,))
    times, before = [], 0
    for step in range(13):
        began, before = time.perf_counter(), model.reduced_bytes
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if step >= 3:
            times.append(1e3 * (time.perf_counter() - began))
    return {
        "model": name,
        "processes": dist.get_world_size(),
        "sparsity": sparsity,
        "bytes": model.reduced_bytes - before,
        "step_wall_ms": round(statistics.median(times), 1),
    }


if __name__ == "__main__":
    main()
