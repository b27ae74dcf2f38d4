"""Gather finished run folders into one CSV.

python benchmarks/collect_runs.py runs/dense runs/acdc90 --csv benchmarks/results/cifar10_resnet20.csv
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tamis.bench import render_table, write_csv
from tamis.train import read_metrics


def row_of(folder: Path) -> dict[str, Any]:
    """The numbers of one run: accuracies on held-out data, sparsity, CPU time of training and of its steps."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    epochs = [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] == "epoch"]
    steps: dict[str, list[float]] = {"dense": [], "sparse": []}
    for row in epochs:
        steps[row["phase"]].append(row["step_cpu_ms"])
    return {
        "recipe": summary["recipe"],
        "epochs": len(epochs),
        "accuracy_dense": summary["accuracy_dense"],
        "accuracy_sparse": summary["accuracy_sparse"],
        "sparsity": summary["sparsity"],
        "training_cpu_min": round(sum(row["cpu_s"] for row in epochs) / 60, 1),
        **{f"step_cpu_ms_{kind}_epochs": round(min(ms), 1) if ms else "" for kind, ms in steps.items()},
        "step_cpu_ms_dense_measured": summary["step_ms_dense"],
        "step_cpu_ms_packed_measured": summary["step_ms_sparse"],
        "bytes_dense": summary["bytes_dense"],
        "bytes_sparse": summary["bytes_sparse"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--csv", required=True, type=Path)
    options = parser.parse_args()
    rows = [row_of(folder) for folder in options.runs]
    machine = json.loads((options.runs[0] / "env.json").read_text(encoding="utf-8"))
    write_csv(options.csv, rows, machine)
    print(render_table(rows))


if __name__ == "__main__":
    main()
