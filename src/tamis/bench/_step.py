"""A whole training step of a network: forward, loss, backward and optimizer, packed beside dense torch and peers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.bench._contest import TOTAL, Timing, contest_stages
from tamis.bench._field import assemble, wrong_results
from tamis.bench._memory import Memory, step_memory
from tamis.bench._networks import (
    StepCase,
    count_packed,
    masked_model,
    packed_model,
    random_batch,
    random_masks,
)
from tamis.bench._problem import difference
from tamis.bench._rounding import rounded, scientific
from tamis.bench._split import milliseconds_in_layers
from tamis.bench._trained import STAGES, Step
from tamis.bench.peers import DENSE_FORMS, Network
from tamis.errors import TamisError
from tamis.nn import is_packed

OURS = "ours"
# Where an activation is zero but for rounding its gradient is there or not, and deep networks amplify it: the two dense
# memory formats of torch differ by several hundredths of the first gradient's length.
WRONG = 0.2


@dataclass(frozen=True)
class StepResult:
    """What one training step took at one sparsity; times are medians.

    Attributes:
        case: name of the case.
        sparsity: fraction of zeros of every pruned layer.
        threads: of torch's pool.
        packed_layers: layers that run packed in ours.
        times: by contestant (``ours``, ``nchw``, ``nhwc``, peers) and stage (``forward``, ``backward``,
            ``optimizer``, ``total``).
        errors: by contestant, the larger of the logits' error against float64, relative to the largest, and of the
            distance of the first parameter's gradient from that of dense float32, relative to its length.
        layers_ms: by contestant, CPU milliseconds inside the pruned layers in (forward, backward), from a separate run.
        parameter_bytes: by ``ours`` and ``nchw``: weights, gradients and momentum, and the places of live weights.
        memory: by ``ours`` and ``nchw``; empty where it was not measured.
        notes: by peer, why it takes no part, or what to know of it.
    """

    case: str
    sparsity: float
    threads: int
    packed_layers: int
    times: dict[str, dict[str, Timing]]
    errors: dict[str, float]
    layers_ms: dict[str, tuple[float, float]]
    parameter_bytes: dict[str, int]
    memory: dict[str, Memory] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def best_dense(self) -> str:
        """The dense memory format that takes less CPU time."""
        return min((n for n in DENSE_FORMS if n in self.times), key=lambda n: self.times[n][TOTAL].cpu_ms)

    @property
    def speedup(self) -> float:
        """CPU time of the faster dense format over ours."""
        return self.times[self.best_dense][TOTAL].cpu_ms / self.times[OURS][TOTAL].cpu_ms

    @property
    def peers(self) -> list[str]:
        """Contestants that are neither ours nor plain dense torch."""
        return [name for name in self.times if name not in (OURS, *DENSE_FORMS)]

    def speedup_over(self, name: str) -> float | None:
        """CPU time of a contestant over ours; None if it takes no part or is wrong."""
        if name not in self.times or not self.errors[name] <= WRONG:
            return None
        return self.times[name][TOTAL].cpu_ms / self.times[OURS][TOTAL].cpu_ms

    def row(self) -> dict[str, Any]:
        """Flat values for a CSV."""
        ours, best = self.times[OURS][TOTAL], self.times[self.best_dense][TOTAL]
        row: dict[str, Any] = {
            "step": self.case, "sparsity": self.sparsity, "threads": self.threads, "packed_layers": self.packed_layers,
            "speedup": rounded(self.speedup), "speedup_wall": rounded(best.wall_ms / ours.wall_ms),
            "best_dense": self.best_dense,
        }  # fmt: skip
        for name, stages in self.times.items():
            row[f"{name}_cpu_ms"] = rounded(stages[TOTAL].cpu_ms, 2)
            row[f"{name}_wall_ms"] = rounded(stages[TOTAL].wall_ms, 2)
            row.update({f"{name}_{stage}_cpu_ms": rounded(stages[stage].cpu_ms, 2) for stage in STAGES})
            row[f"{name}_error"] = scientific(self.errors[name])
        for name, (forward, backward) in self.layers_ms.items():
            row[f"{name}_layers_forward_cpu_ms"] = rounded(forward, 2)
            row[f"{name}_layers_backward_cpu_ms"] = rounded(backward, 2)
            row[f"{name}_rest_cpu_ms"] = rounded(self.times[name][TOTAL].cpu_ms - forward - backward, 2)
        row.update({f"{name}_over_ours": rounded(self.speedup_over(name)) for name in self.peers})
        for name, memory in self.memory.items():
            row[f"{name}_peak_mb"], row[f"{name}_before_mb"] = (round(b / 1e6) for b in (memory.peak, memory.before))
        row.update({f"{name}_parameter_bytes": count for name, count in self.parameter_bytes.items()})
        row["notes"] = "; ".join(f"{name}: {why}" for name, why in self.notes.items())
        return row

    def brief(self) -> dict[str, Any]:
        """The columns that fit on a screen; ``x NAME`` is that contestant's time over ours."""
        ours = self.times[OURS]
        inside = sum(self.layers_ms[OURS])
        return {
            "step": self.case, "sparsity": self.sparsity, "threads": self.threads,
            "ours ms": rounded(ours[TOTAL].cpu_ms, 1), **{f"{s} ms": rounded(ours[s].cpu_ms, 1) for s in STAGES},
            "layers ms": rounded(inside, 1), "rest ms": rounded(ours[TOTAL].cpu_ms - inside, 1),
            "x dense": rounded(self.speedup, 2), "best dense": self.best_dense,
            **{f"x {name}": rounded(self.speedup_over(name), 2) for name in self.peers},
            **{f"peak MB {name}": round(memory.peak / 1e6) for name, memory in self.memory.items()},
            "error": scientific(self.errors[OURS]),
        }  # fmt: skip


def measure_step(
    case: StepCase, sparsities: Sequence[float], *, repeats: int = 3, peers: Sequence[str] = (), memory: bool = False
) -> list[StepResult]:
    """Time one SGD-with-momentum step on random inputs; every contestant in turns; one result a sparsity.

    Pruned layers get random masks; all contestants compute with the same weights.  The packed models take contiguous
    images and let the measured choice decide layer by layer; choosing happens before the timing.

    Args:
        case: network and batch.
        sparsities: fractions of zeros in [0, 1) of every pruned layer.
        repeats: timed steps of each contestant.
        peers: names of ``tamis.bench.PEERS`` to measure beside; dense torch always takes part.
        memory: also measure peak resident memory, packed and dense, each in a fresh process.
    """
    torch._dynamo.reset()
    inputs, labels = random_batch(case)
    models = {sparsity: masked_model(case, sparsity) for sparsity in sparsities}
    networks = assemble("step", peers, {s: (model, inputs, s) for s, model in models.items()}, _ours)
    expected = {s: _expected(model, inputs, labels) for s, model in models.items()}
    steps = {key: Step(n.call, _owner(n), n.inputs, labels) for key, n in networks.members.items()}
    errors = {key: _error(step, expected[networks.built_for(key)]) for key, step in steps.items()}
    times = contest_stages({key: step.stages for key, step in steps.items()}, repeats=repeats, warmup=2)
    pruned = list(random_masks(models[sparsities[0]], 0.0))
    # Hooks would make torch.compile compile anew.
    inside = {key: _inside(step, pruned) for key, step in steps.items() if key != "compile"}
    results = []
    for sparsity in models:
        mine, found = networks.at(sparsity, steps), networks.at(sparsity, errors)
        remarks = {name: n.note for name, n in networks.at(sparsity, networks.members).items() if n.note}
        used, failed = _memory(case, sparsity) if memory else ({}, {})
        results.append(
            StepResult(
                case.name, sparsity, torch.get_num_threads(), count_packed(mine[OURS].module),
                networks.at(sparsity, times), found, networks.at(sparsity, inside),
                {name: _bytes(mine[name].module) for name in (OURS, "nchw")}, used,
                {**networks.notes[sparsity], **remarks, **wrong_results(found, WRONG), **failed},
            )
        )  # fmt: skip
    return results


def _ours(model: nn.Module, inputs: Tensor, sparsity: float) -> dict[str, Network]:
    packed = packed_model(model, random_masks(model, sparsity))
    return {OURS: Network(packed, inputs, packed)}


def _owner(network: Network) -> nn.Module:
    assert network.module is not None
    return network.module


def _expected(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits in float64, and the gradient of the first parameter in float32."""
    with torch.no_grad():
        logits = copy.deepcopy(model).double()(inputs.double())
    reference = copy.deepcopy(model)
    F.cross_entropy(reference(inputs), labels).backward()
    gradient = next(reference.parameters()).grad
    assert gradient is not None
    return logits, gradient


def _error(step: Step, expected: tuple[Tensor, Tensor]) -> float:
    logits = step.call(step.inputs)
    F.cross_entropy(logits, step.labels).backward()
    gradient = next(step.module.parameters()).grad
    assert gradient is not None
    exact = expected[1].double()
    apart = float((gradient.double() - exact).norm() / exact.norm())
    worst = max(difference(logits, expected[0]), apart)
    step.forget()
    return worst


def _inside(step: Step, pruned: Sequence[str]) -> tuple[float, float]:
    spent = milliseconds_in_layers(step.module, pruned, step.forward, step.backward)
    step.forget()
    return spent


def _memory(case: StepCase, sparsity: float) -> tuple[dict[str, Memory], dict[str, str]]:
    """Peaks of ours and of dense NCHW, or why they are not known."""
    arguments = (case.model, case.pixels, case.batch, case.classes)
    found = {}
    try:
        for name, zeros in ((OURS, sparsity), ("nchw", None)):
            found[name] = step_memory(*arguments, zeros, torch.get_num_threads())
    except TamisError as error:
        return {}, {"memory": str(error)}
    return found, {}


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
