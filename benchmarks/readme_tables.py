"""Write the measured tables of README.md from benchmarks/results, so that no number is typed by hand.

python benchmarks/readme_tables.py

What stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->`` is replaced.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->\n)", re.DOTALL)
STEPS = ("step_resnet18", "step_resnet50", "step_mobilenet", "step_bert", "step_resnet20")
DENSE = ("nchw", "nhwc", "folded_nchw", "folded_nhwc")
Row = dict[str, str]


def main() -> None:
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(README)


def updated(readme: str) -> str:
    """The README's text with fresh tables."""
    tables = {"layers": layers, "steps": steps, "inference": inference}
    return REGION.sub(lambda region: f"{region[1]}\n{tables[region[2]]()}\n\n{region[3]}", readme)


def rows_of(name: str) -> list[Row]:
    """The rows of one file of benchmarks/results."""
    lines = (RESULTS / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def mean(rows: Iterable[Row], name: str) -> str:
    """The geometric mean of a column without its empty cells, as text."""
    values = [float(row[name]) for row in rows if row[name]]
    return f"{math.exp(sum(map(math.log, values)) / len(values)):.2f}x" if values else "-"


def layers() -> str:
    """The layer suite: over dense torch in two formats of ours, and over every peer on the layers that it serves."""
    rows = rows_of("layers")
    for row in rows:
        faster = float(row["ours_cpu_ms"]) / float(row["ours_batch_last_cpu_ms"])
        row["batch_last"] = str(float(row["speedup"]) * faster)
        csr = row["csr_forward_cpu_ms"]
        row["csr_forward"] = str(float(csr) / float(row["ours_forward_cpu_ms"])) if csr else ""
    head = (
        "zeros",
        "over dense",
        "least and most",
        "images innermost",
        "SparseProp",
        "sparselab",
        "torch CSR, forward",
    )
    found = []
    for sparsity in dict.fromkeys(row["sparsity"] for row in rows):
        here = [row for row in rows if row["sparsity"] == sparsity]
        over = [float(row["speedup"]) for row in here]
        means = [
            mean(here, name) for name in ("batch_last", "sparseprop_over_ours", "sparselab_over_ours", "csr_forward")
        ]
        found.append((f"{float(sparsity):.0%}", mean(here, "speedup"), f"{min(over):.2f} to {max(over):.1f}x", *means))
    return table(head, found)


def steps() -> str:
    """One training step of whole networks, with what training keeps of weights and the peak of the process."""
    head = (
        "network, batch",
        "zeros",
        "dense NCHW",
        "channels_last",
        "packed",
        "speed-up",
        "weight memory",
        "peak memory",
    )
    found = []
    for row in (row for name in STEPS for row in rows_of(name)):
        last = f"{float(row['nhwc_cpu_ms']):.0f} ms" if row.get("nhwc_cpu_ms") else "-"
        dense, packed = (int(row[f"{side}_parameter_bytes"]) / 1e6 for side in ("nchw", "ours"))
        found.append(
            (
                ", ".join(row["step"].rsplit(" b", 1)),
                f"{float(row['sparsity']):.0%}",
                f"{float(row['nchw_cpu_ms']):.0f} ms",
                last,
                f"{float(row['ours_cpu_ms']):.0f} ms",
                f"{float(row['speedup']):.2f}x",
                f"{dense:.1f} → {packed:.1f} MB",
                f"{row['nchw_peak_mb']} → {row['ours_peak_mb']} MB",
            )
        )
    return table(head, found)


def inference() -> str:
    """ResNet-50 without gradients, against dense torch with folded norms in its faster format, and ONNX Runtime."""
    found = []
    for row in rows_of("infer_resnet50"):
        dense = min(float(row[f"{form}_cpu_ms"]) for form in DENSE if row.get(f"{form}_cpu_ms"))
        ours, onnx = float(row["ours_cpu_ms"]), float(row["onnxruntime_cpu_ms"])
        times = [f"{ms:.0f} ms" for ms in (ours, dense, onnx)]
        found.append((row["infer"].rsplit(" b", 1)[1], *times, f"{dense / ours:.2f}x", f"{onnx / ours:.2f}x"))
    return table(("batch", "packed", "dense torch", "ONNX Runtime", "over torch", "over ONNX Runtime"), found)


if __name__ == "__main__":
    main()
