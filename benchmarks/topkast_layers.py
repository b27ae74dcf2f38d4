"""CPU time of one Top-KAST training step of single convolutions: packed with two patterns, masked, and without masks.

A step is forward pass, backward pass with the gradient of the input, and SGD with momentum, the method's work included.

Run it with one thread on a quiet core::

    taskset -c 1 python benchmarks/topkast_layers.py benchmarks/results/topkast_layers.csv
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn, optim

import tamis
from tamis.kernels import isa, processor_name

# ResNet-18's four stages, stride 1 and 2: channels in and out, pixels, stride.
CASES = [(64, 64, 56, 1), (64, 128, 56, 2), (128, 128, 28, 1), (256, 256, 14, 1), (512, 512, 7, 1)]
SPARSITIES = [(0.95, 0.9), (0.9, 0.8)]
BATCH = 32
ROUNDS = 15


def stepper(case: tuple[int, int, int, int], sparsities: tuple[float, float], kind: str):
    """A function that takes one training step."""
    inputs, outputs, pixels, stride = case
    torch.manual_seed(0)
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    model = nn.Sequential(layer)
    optimizer = optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    if kind != "dense":
        sparsifier = tamis.TopKAST(sparsities[0], backward_sparsity=sparsities[1], every=10**6, packed=kind == "packed")
        sparsifier.attach(model, optimizer)
    x = torch.randn(BATCH, inputs, pixels, pixels, requires_grad=True)
    with torch.no_grad():
        grad = torch.randn_like(model(x))

    def step() -> None:
        x.grad = None
        optimizer.zero_grad()
        model(x).backward(grad)
        optimizer.step()

    return step


def main(path: str) -> None:
    """Measure all cases, the three kinds in turn, and write medians."""
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        for sparsities in SPARSITIES:
            steps = {kind: stepper(case, sparsities, kind) for kind in ("packed", "masked", "dense")}
            times: dict[str, list[float]] = {kind: [] for kind in steps}
            for kind in steps:
                for _ in range(3):
                    steps[kind]()
            for _ in range(ROUNDS):
                for kind, step in steps.items():
                    start = time.process_time()
                    step()
                    times[kind].append(1e3 * (time.process_time() - start))
            inputs, outputs, pixels, stride = case
            medians = {f"{kind}_ms": round(median(values), 3) for kind, values in times.items()}
            rows.append(
                {
                    "layer": f"conv {inputs}>{outputs} 3x3 {pixels}px" + (f" /{stride}" if stride > 1 else ""),
                    "batch": BATCH, "forward_sparsity": sparsities[0], "gradient_sparsity": sparsities[1], **medians,
                    "threads": torch.get_num_threads(), "isa": isa(), "processor": processor_name(),
                    "torch": torch.__version__, "load": round(os.getloadavg()[0], 2),
                }
            )  # fmt: skip
            print(rows[-1], file=sys.stderr)
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1])
