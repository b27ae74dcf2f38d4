"""A whole training step of a network: forward, loss, backward and optimizer, packed against dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.bench._contest import Timing, contest
from tamis.models import create_model
from tamis.nn import is_packed, prunable_modules, sparsify


@dataclass(frozen=True)
class StepCase:
    """A network and a batch: ``model`` of ``tamis.models``, images of ``pixels`` squared, ``batch`` of them."""

    model: str
    pixels: int
    batch: int = 64
    classes: int = 1000

    @property
    def name(self) -> str:
        """Short text such as ``resnet18 64px b64``."""
        return f"{self.model} {self.pixels}px b{self.batch}"


STEP_SUITE = (
    StepCase("resnet20", 32, 128, 10),
    StepCase("resnet18", 64),
    StepCase("resnet18", 224, 16),
    StepCase("resnet50", 224, 8),
    StepCase("mobilenet_v1", 224, 8),
)


@dataclass(frozen=True)
class StepResult:
    """Median times of one training step; ``speedup`` is against the faster dense memory format, by CPU time."""

    case: str
    sparsity: float
    threads: int
    packed_layers: int
    packed: Timing
    dense: dict[str, Timing]
    parameter_bytes_dense: int
    parameter_bytes_packed: int

    @property
    def speedup(self) -> float:
        """CPU time of the faster dense format over the packed model's."""
        return min(timing.cpu_ms for timing in self.dense.values()) / self.packed.cpu_ms

    @property
    def speedup_wall(self) -> float:
        """Wall time of the faster dense format over the packed model's."""
        return min(timing.wall_ms for timing in self.dense.values()) / self.packed.wall_ms

    def row(self) -> dict[str, Any]:
        """Flat values for a table."""
        return {
            "step": self.case,
            "sparsity": self.sparsity,
            "threads": self.threads,
            "packed_layers": self.packed_layers,
            "packed_cpu_ms": round(self.packed.cpu_ms, 2),
            "packed_wall_ms": round(self.packed.wall_ms, 2),
            **{f"dense_{name}_cpu_ms": round(timing.cpu_ms, 2) for name, timing in self.dense.items()},
            **{f"dense_{name}_wall_ms": round(timing.wall_ms, 2) for name, timing in self.dense.items()},
            "speedup": round(self.speedup, 3),
            "speedup_wall": round(self.speedup_wall, 3),
            "parameter_bytes_dense": self.parameter_bytes_dense,
            "parameter_bytes_packed": self.parameter_bytes_packed,
        }


def measure_step(case: StepCase, sparsities: Sequence[float], *, repeats: int = 3) -> list[StepResult]:
    """Time one SGD-with-momentum step on random images: packed, dense NCHW and dense channels_last, in turns.

    Every prunable layer but the first gets a random mask of the same sparsity.  The packed models take NCHW images and
    let the measured choice decide layer by layer; choosing happens during the warm-up and is not counted.

    Args:
        case: network and batch.
        sparsities: fractions of zeros in [0, 1) of every pruned layer; one result each.
        repeats: timed steps of each contestant.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(case.batch, 3, case.pixels, case.pixels, generator=generator)
    labels = torch.randint(case.classes, (case.batch,), generator=generator)
    last = torch.channels_last
    dense = {
        "nchw": _Step(_model(case), images, labels),
        "nhwc": _Step(_model(case).to(memory_format=last), images.to(memory_format=last), labels),  # type: ignore[call-overload]
    }
    packed = {sparsity: _Step(_packed(case, sparsity, generator), images, labels) for sparsity in sparsities}
    steps = {**{str(sparsity): step for sparsity, step in packed.items()}, **dense}
    times = contest({name: step.run for name, step in steps.items()}, repeats=repeats, warmup=2)
    return [
        StepResult(
            case=case.name, sparsity=sparsity, threads=torch.get_num_threads(),
            packed_layers=sum(is_packed(module) for module in step.model.modules()),
            packed=times[str(sparsity)], dense={name: times[name] for name in dense},
            parameter_bytes_dense=_bytes(dense["nchw"].model), parameter_bytes_packed=_bytes(step.model),
        )
        for sparsity, step in packed.items()
    ]  # fmt: skip


def _packed(case: StepCase, sparsity: float, generator: torch.Generator) -> nn.Module:
    model = _model(case)
    layers = list(prunable_modules(model).items())[1:]
    masks = {
        name: torch.rand(layer.weight.shape, generator=generator) >= sparsity
        for name, layer in layers
        if getattr(layer, "groups", 1) == 1
    }
    return sparsify(model, masks)


class _Step:
    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.model, self.images, self.labels = model, images, labels
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)

    def run(self) -> None:
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.images), self.labels).backward()
        self.optimizer.step()


def _model(case: StepCase) -> nn.Module:
    torch.manual_seed(0)
    return create_model(case.model, num_classes=case.classes, in_channels=3).train()


def _bytes(model: nn.Module) -> int:
    """Weights, gradients and momentum, with the places of packed layers in both orders."""
    total = 3 * sum(p.numel() * p.element_size() for p in model.parameters())
    for module in model.modules():
        if is_packed(module):
            pattern: Any = module.pattern
            places = pattern.indices.numel() * pattern.indices.element_size()
            # The gradient of the input reads the same weights in another order: their places again, and their sources.
            total += 3 * places + 2 * pattern.row_ptr.numel() * pattern.row_ptr.element_size()
    return total
