"""One layer, forward and backward with both gradients: sparse against dense in both memory formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tamis.bench._contest import Timing, contest
from tamis.bench._machine import reference_gflops
from tamis.kernels import ConvGeometry, PackedPattern, sparse_conv2d, sparse_linear


@dataclass(frozen=True)
class LayerCase:
    """A layer to measure; ``pixels`` 0 means a linear layer.

    Attributes:
        inputs: input channels or features.
        outputs: output channels or features.
        pixels: height and width of the input.
        kernel: taps per side; padding is ``kernel // 2``.
        stride: pixels per output.
        batch: images or rows.
    """

    inputs: int
    outputs: int
    pixels: int = 0
    kernel: int = 1
    stride: int = 1
    batch: int = 64

    @property
    def name(self) -> str:
        """Short text such as ``conv 64>64 3x3 56px`` or ``linear 512>512 b64``."""
        if not self.pixels:
            return f"linear {self.inputs}>{self.outputs} b{self.batch}"
        stride = f" /{self.stride}" if self.stride > 1 else ""
        batch = "" if self.batch == 64 else f" b{self.batch}"
        return f"conv {self.inputs}>{self.outputs} {self.kernel}x{self.kernel} {self.pixels}px{stride}{batch}"


# The layers of ResNet-18 and ResNet-50, of CIFAR networks and of transformer blocks.
LAYER_SUITE = (
    *(LayerCase(n, m, batch=b) for n, m in ((512, 512), (1024, 4096), (4096, 1024), (768, 3072)) for b in (64, 512)),
    LayerCase(64, 64, 56, 3), LayerCase(128, 128, 28, 3), LayerCase(256, 256, 14, 3), LayerCase(512, 512, 7, 3),
    LayerCase(256, 64, 56), LayerCase(1024, 256, 14),
    LayerCase(64, 128, 56, 3, 2), LayerCase(128, 256, 28, 3, 2), LayerCase(128, 256, 28, 1, 2),
    LayerCase(64, 64, 32, 3), LayerCase(128, 128, 16, 3), LayerCase(256, 256, 8, 3),
)  # fmt: skip


@dataclass(frozen=True)
class LayerResult:
    """What one layer took at one sparsity; times are medians in milliseconds, errors relative to float64.

    ``speedup`` compares forward plus backward with the faster dense memory format, by CPU time.
    ``share_of_dense_peak`` is the sparse layer's useful flop rate over torch's dense matrix product on this machine.
    """

    layer: str
    sparsity: float
    batch: int
    threads: int
    sparse: Timing
    sparse_forward: Timing
    dense: dict[str, Timing]
    dense_forward: dict[str, Timing]
    speedup: float
    speedup_forward: float
    speedup_wall: float
    share_of_dense_peak: float
    error_forward: float
    error_gradients: float

    def row(self) -> dict[str, Any]:
        """Flat values for a table."""
        best = min(self.dense, key=lambda name: self.dense[name].cpu_ms)
        return {
            "layer": self.layer,
            "sparsity": self.sparsity,
            "batch": self.batch,
            "threads": self.threads,
            "sparse_cpu_ms": round(self.sparse.cpu_ms, 3),
            "sparse_wall_ms": round(self.sparse.wall_ms, 3),
            **{f"dense_{name}_cpu_ms": round(timing.cpu_ms, 3) for name, timing in self.dense.items()},
            "best_dense": best,
            "dense_wall_ms": round(self.dense[best].wall_ms, 3),
            "speedup": round(self.speedup, 3),
            "speedup_wall": round(self.speedup_wall, 3),
            "speedup_forward": round(self.speedup_forward, 3),
            "share_of_dense_peak": round(self.share_of_dense_peak, 3),
            "error_forward": float(f"{self.error_forward:.2e}"),
            "error_gradients": float(f"{self.error_gradients:.2e}"),
        }


def measure_layer(case: LayerCase, sparsities: Sequence[float], *, repeats: int = 5) -> list[LayerResult]:
    """Time one layer with random unstructured masks, forward and backward with both gradients; one result a sparsity.

    The sparse layers take and return NCHW tensors; packing is counted.  Dense torch is timed in NCHW and, for
    convolutions, in channels_last, input and weight already in that format.  All take turns in one contest.

    Args:
        case: the layer.
        sparsities: fractions of zeros in [0, 1).
        repeats: timed calls of each contestant.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (case.outputs, case.inputs, case.kernel, case.kernel) if case.pixels else (case.outputs, case.inputs)
    dense_weight, chance = torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)
    pixels = (case.pixels, case.pixels) if case.pixels else ()
    x = torch.randn(case.batch, case.inputs, *pixels, generator=generator)
    dense = {"nchw": _Work(case, x, dense_weight, None)}
    if case.pixels:
        last = torch.channels_last
        dense["nhwc"] = _Work(case, x.to(memory_format=last), dense_weight.to(memory_format=last), None)
    sparse = {}
    for sparsity in sparsities:
        pattern = PackedPattern.from_mask(chance >= sparsity)
        sparse[sparsity] = _Work(case, x, pattern.pack(dense_weight), (pattern, _geometry(case)))
    contestants = {**{str(sparsity): work for sparsity, work in sparse.items()}, **dense}
    grad = torch.randn(dense["nchw"].forward().shape, generator=generator)
    for name, work in contestants.items():
        work.grad = grad.to(memory_format=torch.channels_last) if name == "nhwc" else grad
    both = contest({name: work.both for name, work in contestants.items()}, repeats=repeats, warmup=1)
    forward = contest({name: work.forward for name, work in contestants.items()}, repeats=repeats, warmup=1)
    return [_result(case, sparsity, work, dense_weight, both, forward) for sparsity, work in sparse.items()]


def _result(
    case: LayerCase,
    sparsity: float,
    work: _Work,
    dense_weight: Tensor,
    both: dict[str, Timing],
    forward: dict[str, Timing],
) -> LayerResult:
    formats = [name for name in both if name in ("nchw", "nhwc")]
    dense, dense_forward = {n: both[n] for n in formats}, {n: forward[n] for n in formats}
    sparse, sparse_forward = both[str(sparsity)], forward[str(sparsity)]
    assert work.sparse is not None
    assert work.grad is not None
    pattern = work.sparse[0]
    flops = 6 * pattern.nnz * case.batch * (work.grad[0, 0].numel() if case.pixels else 1)
    errors = _errors(case, work, dense_weight * pattern.mask())
    return LayerResult(
        layer=case.name, sparsity=sparsity, batch=case.batch, threads=torch.get_num_threads(),
        sparse=sparse, sparse_forward=sparse_forward, dense=dense, dense_forward=dense_forward,
        speedup=min(t.cpu_ms for t in dense.values()) / sparse.cpu_ms,
        speedup_forward=min(t.cpu_ms for t in dense_forward.values()) / sparse_forward.cpu_ms,
        speedup_wall=min(t.wall_ms for t in dense.values()) / sparse.wall_ms,
        share_of_dense_peak=flops / (sparse.cpu_ms * 1e6) / reference_gflops(),
        error_forward=errors[0], error_gradients=max(errors[1:]),
    )  # fmt: skip


class _Work:
    """One contestant: a layer's forward, and its forward and backward."""

    def __init__(
        self, case: LayerCase, x: Tensor, weight: Tensor, sparse: tuple[PackedPattern, ConvGeometry] | None
    ) -> None:
        self.case, self.sparse = case, sparse
        self.x, self.weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
        self.grad: Tensor | None = None

    def forward(self) -> Tensor:
        case = self.case
        if self.sparse and case.pixels:
            return sparse_conv2d(self.x, self.weight, None, *self.sparse)
        if self.sparse:
            return sparse_linear(self.x, self.weight, None, self.sparse[0])
        if case.pixels:
            return F.conv2d(self.x, self.weight, None, case.stride, case.kernel // 2)
        return F.linear(self.x, self.weight)

    def both(self) -> None:
        self.x.grad = self.weight.grad = None
        self.forward().backward(self.grad)


def _geometry(case: LayerCase) -> ConvGeometry:
    if not case.pixels:
        return ConvGeometry()
    half = case.kernel // 2
    return ConvGeometry(
        size=(case.pixels, case.pixels),
        kernel=(case.kernel, case.kernel),
        stride=(case.stride, case.stride),
        padding=(half, half, half, half),
    )


def _errors(case: LayerCase, sparse: _Work, weight: Tensor) -> tuple[float, float, float]:
    """Largest difference from float64 over the largest float64 value: forward, input's and weights' gradient.

    Eight images are compared, so that the float64 reference does not take longer than the measurement.
    """
    assert sparse.sparse is not None
    assert sparse.grad is not None
    pattern, x, grad = sparse.sparse[0], sparse.x.detach()[:8], sparse.grad[:8]
    exact = _Work(case, x.double(), weight.double(), None)
    exact.grad = grad.double()
    exact.both()
    ours = _Work(case, x, sparse.weight, sparse.sparse)
    ours.grad = grad
    ours.both()
    pairs = (
        (ours.forward(), exact.forward()),
        (_gradient(ours.x), _gradient(exact.x)),
        (_gradient(ours.weight), pattern.pack(_gradient(exact.weight))),
    )
    worst = [float(((a.double() - b).abs().max() / b.abs().max()).detach()) if b.numel() else 0.0 for a, b in pairs]
    return worst[0], worst[1], worst[2]


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad
