"""Draw speed-up against sparsity for each layer, with geometric means, from a CSV of ``tamis bench layers``.

python benchmarks/plot_layers.py [CSV [SVG]]

The defaults are benchmarks/results/layers.csv and docs/_static/speedup.svg; howto_bench.md
has the command that measures them.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "benchmarks" / "results" / "layers.csv"
TARGET = ROOT / "docs" / "_static" / "speedup.svg"
PEERS = {"sparseprop": ("#b0413e", "SparseProp, geometric mean")}
Row = Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE)
    parser.add_argument("target", nargs="?", type=Path, default=TARGET)
    options = parser.parse_args()
    lines = options.source.read_text(encoding="utf-8").splitlines()
    machine = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    threads = min(int(row["threads"]) for row in rows)
    rows = [row for row in rows if int(row["threads"]) == threads]
    sparsities = sorted({float(row["sparsity"]) for row in rows})
    mpl.rcParams.update({"svg.hashsalt": "tamis", "font.size": 11, "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(8, 4.6))
    for name in dict.fromkeys(row["layer"] for row in rows):
        points = {float(row["sparsity"]): float(row["speedup"]) for row in rows if row["layer"] == name}
        style = {"color": "#3b7ea1"} if name.startswith("conv") else {"color": "#c98b2b", "linestyle": "--"}
        places = [sparsities.index(s) for s in sorted(points)]
        axes.plot(places, [points[s] for s in sorted(points)], linewidth=0.9, alpha=0.55, **style)
    means = _means(rows, sparsities)
    axes.plot(range(len(sparsities)), means, color="#111111", linewidth=2.6, marker="o")
    for place, mean in enumerate(means):
        axes.annotate(f"{mean:.1f}x", (place, mean), textcoords="offset points", xytext=(0, 9), ha="center")
    for peer, (colour, label) in PEERS.items():
        if f"{peer}_over_ours" in rows[0]:
            places, theirs = range(len(sparsities)), _means(rows, sparsities, f"{peer}_over_ours")
            axes.plot(places, theirs, color=colour, linewidth=2, marker="s", label=label)
    axes.axhline(1.0, color="#888888", linewidth=1)
    axes.set_yscale("log")
    ticks = [t for t in (0.25, 0.5, 1, 2, 4, 8, 16, 32) if t <= 2 * max(float(row["speedup"]) for row in rows)]
    axes.set_yticks(ticks, [f"{t:g}x" for t in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xticks(range(len(sparsities)), [f"{s:.0%}" for s in sparsities])
    axes.set_xlabel("weights that are zero")
    axes.set_ylabel("speed-up over the faster dense layout")
    passes = rows[0]["measured"].capitalize()
    axes.set_title(f"{passes} of one layer, {threads} thread(s) (black: geometric mean)", fontsize=12)
    for colour, style, label in (("#3b7ea1", "-", "convolutions"), ("#c98b2b", "--", "linear layers")):
        axes.plot([], [], color=colour, linestyle=style, label=label)
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.99, 0.01, f"{machine['processor']}, {machine['isa']}", ha="right", fontsize=8, color="#666666")
    figure.tight_layout()
    options.target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.target, metadata={"Date": None})
    print(options.target, [round(mean, 2) for mean in means])


def _means(rows: Sequence[Row], sparsities: Sequence[float], over: str = "") -> list[float]:
    """Geometric mean of the speed-up at each sparsity; of a peer's over dense with its column ``over`` ours."""
    found = []
    for sparsity in sparsities:
        here = [row for row in rows if float(row["sparsity"]) == sparsity and (not over or row[over])]
        logs = [math.log(float(row["speedup"]) / (float(row[over]) if over else 1.0)) for row in here]
        found.append(math.exp(sum(logs) / len(logs)) if logs else math.nan)
    return found


if __name__ == "__main__":
    main()
