"""How far the layer suite is from a bound: arithmetic at the speed of L2, every tensor moved once.

python benchmarks/layer_bounds.py [CSV]

The default is benchmarks/results/layers.csv. The machine's speeds below are those of the table in docs/performance.md;
on another machine, measure them first.  A live weight needs one load and one multiply-add per 16 positions in each of
the three products.  With few weights per channel the loads come from L2, because what one output reads is spread over
more channels than L1 holds.  The bound adds that time and one reading or writing of every tensor in each product, and
leaves out packing, halos, results loaded again, and every call.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FROM_L2 = 98e9  # operations a second with one operand from L2
MOVED = 55e9  # bytes a second, read and written together, past the caches
CACHED = 100e9  # for tensors that stay in the caches
STAYS = 8e6  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, default=ROOT / "benchmarks" / "results" / "layers.csv")
    lines = parser.parse_args().source.read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    print("zeros  over dense: measured, bound   over SparseProp: measured, bound")
    for sparsity in dict.fromkeys(row["sparsity"] for row in rows):
        here = [row for row in rows if row["sparsity"] == sparsity]
        print(
            f"{float(sparsity):5.0%}", *(f"{value:8.2f}" for over in (dense_ms, peer_ms) for value in means(here, over))
        )


def means(rows: list[dict[str, str]], over) -> tuple[float, float]:
    """Geometric means over ours and over the bound, of the rows that have such a time."""
    found = [(over(row) / float(row["ours_cpu_ms"]), over(row) / bound_ms(row)) for row in rows if over(row)]
    measured, bound = (math.exp(sum(math.log(pair[i]) for pair in found) / len(found)) for i in (0, 1))
    return measured, bound


def dense_ms(row: dict[str, str]) -> float:
    """The faster dense format."""
    return min(float(row[key]) for key in ("nchw_cpu_ms", "nhwc_cpu_ms") if row[key])


def peer_ms(row: dict[str, str]) -> float:
    """SparseProp; 0 where it has no time."""
    return float(row.get("sparseprop_cpu_ms") or 0.0)


def bound_ms(row: dict[str, str]) -> float:
    """Milliseconds of forward and both gradients, see above."""
    inputs, outputs, pixels, taps, stride, batch = shape(row)
    to = -(-pixels // stride)
    operations = 2.0 * inputs * outputs * taps * (1.0 - float(row["sparsity"])) * batch * to * to
    x, y = 4.0 * batch * inputs * pixels * pixels, 4.0 * batch * outputs * to * to
    used = x / 2 if taps == 1 and stride == 2 else x  # lines of rows that nobody reads are never touched
    moved = sum(map(seconds, (used, y, y, x, used, y)))
    return 1e3 * (3.0 * operations / FROM_L2 + moved)


def shape(row: dict[str, str]) -> tuple[int, int, int, int, int, int]:
    """Inputs, outputs, pixels, taps, stride and batch from the name of a case."""
    linear = re.fullmatch(r"linear (\d+)>(\d+) b(\d+)", row["layer"])
    if linear:
        inputs, outputs, batch = map(int, linear.groups())
        return inputs, outputs, 1, 1, 1, batch
    conv = re.fullmatch(r"conv (\d+)>(\d+) (\d)x\d (\d+)px( /2)?", row["layer"])
    assert conv is not None, row["layer"]
    inputs, outputs, kernel, pixels = map(int, conv.groups()[:4])
    return inputs, outputs, pixels, kernel * kernel, 2 if conv[5] else 1, int(row["batch"])


def seconds(size: float) -> float:
    """To read or write so many bytes."""
    return size / (MOVED if size > STAYS else CACHED)


if __name__ == "__main__":
    main()
