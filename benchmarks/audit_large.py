"""How long a large audit takes, and how much memory: 200,000 samples, 40 attributes, 4 groups, 5 seeds, 2,000 draws.

The data are made up: each attribute leans to the identities, and all models share most of their errors, as
models trained on the same data do.  Each round runs in a fresh process, which also reports its peak memory.

    python benchmarks/audit_large.py --rounds 3 --csv benchmarks/results/audit_large.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import tamis
from tamis.audit import Labels, Outputs

SIZES = {"samples": 200_000, "attributes": 40, "groups": 4, "seeds": 5, "draws": 2000}


def make(samples: int, attributes: int, groups: int, seeds: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    names = [f"a{k}" for k in range(attributes)]
    group_names = [f"g{g}" for g in range(groups)]
    member = rng.random((samples, groups)) < 0.5
    skew = rng.normal(size=(groups, attributes))
    base = rng.normal(-0.8, 1.0, attributes)
    score = base + (member - 0.5) @ skew
    truth = score + rng.logistic(size=score.shape) > 0
    ids = np.arange(samples)
    labels = Labels(np.hstack([truth, member]), ids, (*names, *group_names))
    train = Labels(labels.values[: samples // 2], None, labels.names)
    hard = rng.normal(size=truth.shape).astype(np.float32)  # what is hard is hard for all models

    def model(level: float, seed: int) -> Outputs:
        own = np.random.default_rng([seed, round(100 * level)]).normal(size=truth.shape).astype(np.float32)
        logits = (2.5 - level) * (2 * truth - 1) + 1.5 * hard + (0.6 + 0.5 * level) * own + 0.3 * level * score
        return Outputs(
            logits.astype(np.float32), ids, tuple(names), "made_up", "gmp" if level else "dense", level, seed=seed
        )

    return {
        "dense": [model(0.0, seed) for seed in range(seeds)],
        "compressed": [model(0.95, seed) for seed in range(seeds)],
        "labels": labels,
        "train_labels": train,
        "groups": group_names,
    }


def one_round() -> dict[str, float]:
    given = make(SIZES["samples"], SIZES["attributes"], SIZES["groups"], SIZES["seeds"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = time.perf_counter(), time.process_time()
    report = tamis.audit(n_boot=SIZES["draws"], **given)
    audited = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    start = time.perf_counter()
    size = len(report.to_json())
    return {
        **audited,
        "json_s": time.perf_counter() - start,
        "json_mb": size / 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_before_mb": before,
        "undefined_pairs": float(sum(bool(pair["reason"]) for pair in report.content["pairs"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path, default=None)
    parser.add_argument("--one", action="store_true", help="one round in this process, as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_round()))
        return
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        done = subprocess.run([sys.executable, __file__, "--one"], check=True, capture_output=True, text=True)
        rounds.append(json.loads(done.stdout) | {"load": round(os.getloadavg()[0], 2)})
        print(rounds[-1], flush=True)
        if options.csv:  # after every round, so that a stopped benchmark keeps what it has
            write_medians(options.csv, rounds)


def write_medians(path: Path, rounds: list[dict[str, float]]) -> None:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    row = {**SIZES, **{key: round(statistics.median(r[key] for r in rounds), 3) for key in rounds[0]}}
    row |= {
        "rounds": len(rounds),
        "cpus": cpus,
        "processor": processor_name(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "tamis": tamis.__version__,
    }
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, row)
        writer.writeheader()
        writer.writerow(row)


def processor_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
