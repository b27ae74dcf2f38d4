"""What SparseProp's time would be over ours if multiplying, or moving data, cost nothing: measured, not estimated.

python benchmarks/layer_parts.py [--layers CSV] [--out CSV]

For every layer of the suite three times of forward and both gradients are taken in turns, in one process:

- whole: the layer as it is;
- moved: the same with one live weight, so that packing, unpacking, halos, results and every call remain, but nothing to
  multiply;
- alone: the difference, which is what the multiply-adds take inside our kernels, their panels packed already;
- bound: moved, and the multiply-adds at the speed at which L2 delivers their operands (layer_bounds.py).

With few weights the kernels choose the tiles that move data best, so "moved" is not larger than the share of the whole.
SparseProp's times are those of --layers (default benchmarks/results/layers.csv), measured on the same machine.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from layer_bounds import FROM_L2, shape

from tamis.bench import LAYER_SUITE, LayerCase, contest, describe_machine, geometric_mean, keep_memory, write_csv
from tamis.kernels import ConvGeometry, PackedPattern, choices, sparse_conv2d, sparse_linear

RESULTS = Path(__file__).resolve().parent / "results"
SPARSITY = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=Path, default=RESULTS / "layers.csv")
    parser.add_argument("--out", type=Path, default=RESULTS / "layer_parts.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    choices.mode = "sparse"
    allocator = keep_memory()
    peers = peer_times(options.layers)
    rows = []
    for case in LAYER_SUITE:
        generator = torch.Generator().manual_seed(1)
        live = torch.rand(case.weight_shape, generator=generator) >= SPARSITY
        one = torch.zeros(case.weight_shape, dtype=torch.bool)
        one.view(-1)[one.numel() // 2] = True  # the middle tap of some channel, which no border cuts off
        times = contest({"whole": step(case, live), "moved": step(case, one)}, repeats=7, minimum_ms=20.0)
        whole, moved = times["whole"].cpu_ms, times["moved"].cpu_ms
        bound = moved + 1e3 * operations(case) / FROM_L2
        rows.append(
            {
                "layer": case.name, "sparsity": SPARSITY, "whole_ms": round(whole, 3), "moved_ms": round(moved, 3),
                "alone_ms": round(whole - moved, 3), "bound_ms": round(bound, 3), "sparseprop_ms": peers[case.name],
                "over_whole": round(peers[case.name] / whole, 3), "over_moved": round(peers[case.name] / moved, 3),
                "over_alone": round(peers[case.name] / (whole - moved), 3),
                "over_bound": round(peers[case.name] / bound, 3),
            }
        )  # fmt: skip
        print(*rows[-1].values(), flush=True)
    for name in ("over_whole", "over_moved", "over_alone", "over_bound"):
        print(f"geometric mean of SparseProp's time {name}: {geometric_mean([float(row[name]) for row in rows]):.2f}")
    write_csv(options.out, rows, {**describe_machine(), "allocator": allocator})


def operations(case: LayerCase) -> float:
    """Of forward and both gradients, live weights alone."""
    inputs, outputs, pixels, taps, stride, batch = shape({"layer": case.name, "batch": str(case.input_shape[0])})
    return 6.0 * inputs * outputs * taps * (1.0 - SPARSITY) * batch * (-(-pixels // stride)) ** 2


def step(case: LayerCase, mask: torch.Tensor):
    """A call of forward and both gradients with the live weights of ``mask``, from and to NCHW tensors."""
    pattern = PackedPattern.from_mask(mask)
    values = torch.randn(pattern.nnz, requires_grad=True)
    x, grad = torch.randn(case.input_shape, requires_grad=True), torch.randn(case.output_shape)
    geometry = ConvGeometry(
        size=(case.pixels or 1,) * 2,
        kernel=(case.kernel,) * 2,
        stride=(case.stride,) * 2,
        padding=(case.padding,) * 4,
    )

    def run() -> None:
        if case.pixels:
            y = sparse_conv2d(x, values, None, pattern, geometry)
        else:
            y = sparse_linear(x, values, None, pattern)
        torch.autograd.grad(y, (x, values), grad)

    return run


def peer_times(path: Path) -> dict[str, float]:
    """SparseProp's milliseconds of forward and both gradients by layer."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {
        row["layer"]: float(row["sparseprop_cpu_ms"])
        for row in rows
        if float(row["sparsity"]) == SPARSITY and row.get("sparseprop_cpu_ms")
    }


if __name__ == "__main__":
    main()
