"""Draw docs/_static/speedup.svg from benchmarks/results/layers.csv.

The CSV comes from

    tamis bench layers --sparsity 0.7 0.8 0.9 0.95 0.98 0.99 --repeats 3 --csv benchmarks/results/layers.csv
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "benchmarks" / "results" / "layers.csv"
TARGET = ROOT / "docs" / "_static" / "speedup.svg"


def main() -> None:
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    machine = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    by_layer: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        by_layer[row["layer"]].append((float(row["sparsity"]), float(row["speedup"])))
    sparsities = sorted({s for points in by_layer.values() for s, _ in points})
    places = {s: i for i, s in enumerate(sparsities)}
    mpl.rcParams.update({"svg.hashsalt": "tamis", "font.size": 11, "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(8, 4.6))
    for name, points in by_layer.items():
        style = {"color": "#3b7ea1"} if name.startswith("conv") else {"color": "#c98b2b", "linestyle": "--"}
        axes.plot([places[s] for s, _ in points], [v for _, v in points], linewidth=0.9, alpha=0.55, **style)
    means = [_geometric_mean([dict(points)[s] for points in by_layer.values()]) for s in sparsities]
    axes.plot(range(len(sparsities)), means, color="#111111", linewidth=2.6, marker="o")
    for place, mean in enumerate(means):
        axes.annotate(f"{mean:.1f}x", (place, mean), textcoords="offset points", xytext=(0, 9), ha="center")
    axes.axhline(1.0, color="#888888", linewidth=1)
    axes.set_yscale("log")
    ticks = [t for t in (0.5, 1, 2, 4, 8, 16, 32) if t <= 2 * max(v for p in by_layer.values() for _, v in p)]
    axes.set_yticks(ticks, [f"{t:g}x" for t in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xticks(range(len(sparsities)), [f"{s:.0%}" for s in sparsities])
    axes.set_xlabel("weights that are zero")
    axes.set_ylabel("speed-up over the faster dense layout")
    axes.set_title("Forward + backward of one layer, one thread (black: geometric mean)", fontsize=12)
    for colour, style, label in (("#3b7ea1", "-", "convolutions"), ("#c98b2b", "--", "linear layers")):
        axes.plot([], [], color=colour, linestyle=style, label=label)
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.99, 0.01, f"{machine['processor']}, {machine['isa']}", ha="right", fontsize=8, color="#666666")
    figure.tight_layout()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, metadata={"Date": None})
    print(TARGET.relative_to(ROOT), [round(mean, 2) for mean in means])


def _geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


if __name__ == "__main__":
    main()
