"""Linear layers of one to sixteen inputs, as in answering single requests: sparse over dense, forward and training.

python benchmarks/small_batches.py [--out CSV]

"forward" runs without gradients; "step" is forward and both gradients.  Sparse and dense take turns in one process, on
one thread; the dense weight is contiguous float32, the layer without bias on both sides.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

from tamis.bench import contest, describe_machine, geometric_mean, keep_memory, write_csv
from tamis.kernels import PackedPattern, choices, sparse_linear

RESULTS = Path(__file__).resolve().parent / "results"
LAYERS = ((768, 3072), (1024, 4096), (4096, 1024), (4096, 4096))  # inputs, outputs
BATCHES = (1, 2, 4, 8, 15, 16)
SPARSITY = (0.8, 0.9, 0.95, 0.98)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "small_batches.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    choices.mode = "sparse"
    allocator = keep_memory()
    rows = []
    for inputs, outputs in LAYERS:
        for sparsity in SPARSITY:
            pattern = PackedPattern.from_mask(torch.rand(outputs, inputs) >= sparsity)
            rows += [measured(pattern, sparsity, batch) for batch in BATCHES]
            print(*rows[-1].values(), flush=True)
    for sparsity in SPARSITY:
        for batch in BATCHES:
            these = [row for row in rows if (row["sparsity"], row["batch"]) == (sparsity, batch)]
            means = [geometric_mean([float(row[key]) for row in these]) for key in ("forward_x", "step_x")]
            print(f"{sparsity:g} batch {batch}: forward {means[0]:.2f}, step {means[1]:.2f} times dense")
    write_csv(options.out, rows, {**describe_machine(), "allocator": allocator})


def measured(pattern: PackedPattern, sparsity: float, batch: int) -> dict[str, object]:
    """Median CPU milliseconds of both sides, and dense over sparse."""
    values = torch.randn(pattern.nnz, requires_grad=True)
    weight = pattern.unpack(values.detach()).requires_grad_()
    x, grad = torch.randn(batch, pattern.shape[1], requires_grad=True), torch.randn(batch, pattern.shape[0])

    @torch.no_grad()
    def sparse_forward() -> None:
        sparse_linear(x, values, None, pattern)

    @torch.no_grad()
    def dense_forward() -> None:
        F.linear(x, weight)

    def sparse_step() -> None:
        torch.autograd.grad(sparse_linear(x, values, None, pattern), (x, values), grad)

    def dense_step() -> None:
        torch.autograd.grad(F.linear(x, weight), (x, weight), grad)

    row: dict[str, object] = {
        "layer": f"linear {pattern.shape[1]}>{pattern.shape[0]}", "sparsity": sparsity, "batch": batch,
    }  # fmt: skip
    for name, sparse, dense in (("forward", sparse_forward, dense_forward), ("step", sparse_step, dense_step)):
        times = contest({"sparse": sparse, "dense": dense}, repeats=7, minimum_ms=3.0)
        ours, theirs = times["sparse"].cpu_ms, times["dense"].cpu_ms
        row |= {
            f"{name}_ms": round(ours, 4), f"{name}_dense_ms": round(theirs, 4), f"{name}_x": round(theirs / ours, 3),
        }  # fmt: skip
    return row


if __name__ == "__main__":
    main()
