"""Inference of a whole network: packed beside dense torch (also with batch norm folded) and peers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tamis.bench._contest import Timing, contest
from tamis.bench._field import assemble, wrong_results
from tamis.bench._networks import StepCase, count_packed, masked_model, packed_model, random_batch, random_masks
from tamis.bench._problem import difference
from tamis.bench._rounding import rounded, scientific
from tamis.bench.peers import DENSE_FORMS, Network, fold_batch_norm

OURS, OURS_FOLDED = "ours", "ours_folded"
WRONG = 1e-2  # of logits; float32 rounding over dozens of layers stays far below
_CHECKED = 2  # images compared with float64
_TURN_MS = 50.0


@dataclass(frozen=True)
class InferResult:
    """What one inference took at one sparsity; times are medians.

    Attributes:
        case: name of the case.
        sparsity: fraction of zeros of every pruned layer.
        threads: of torch's pool.
        packed_layers: layers that run packed in ours.
        times: by contestant: ``ours``, ``ours_folded`` (batch norm folded before packing), ``nchw``, ``nhwc``,
            ``folded_nchw``, ``folded_nhwc`` and peers.
        errors: by contestant, of the logits against float64, relative to the largest logit.
        notes: by peer, why it takes no part.
    """

    case: str
    sparsity: float
    threads: int
    packed_layers: int
    times: dict[str, Timing]
    errors: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def best_dense(self) -> str:
        """The dense form of torch, folded or not, that takes less CPU time."""
        return min((n for n in DENSE_FORMS if n in self.times), key=lambda n: self.times[n].cpu_ms)

    @property
    def best_ours(self) -> str:
        """The faster of ours, folded or not."""
        return min((n for n in (OURS, OURS_FOLDED) if n in self.times), key=lambda n: self.times[n].cpu_ms)

    @property
    def speedup(self) -> float:
        """CPU time of the best dense form over the better of ours."""
        return self.times[self.best_dense].cpu_ms / self.times[self.best_ours].cpu_ms

    @property
    def peers(self) -> list[str]:
        """Contestants that are neither ours nor plain dense torch."""
        return [name for name in self.times if name not in (OURS, OURS_FOLDED, *DENSE_FORMS)]

    def speedup_over(self, name: str) -> float | None:
        """CPU time of a contestant over the better of ours; None if it takes no part or is wrong."""
        if name not in self.times or not self.errors[name] <= WRONG:
            return None
        return self.times[name].cpu_ms / self.times[self.best_ours].cpu_ms

    def row(self) -> dict[str, Any]:
        """Flat values for a CSV."""
        best, ours = self.times[self.best_dense], self.times[self.best_ours]
        row: dict[str, Any] = {
            "infer": self.case, "sparsity": self.sparsity, "threads": self.threads, "packed_layers": self.packed_layers,
            "speedup": rounded(self.speedup), "speedup_wall": rounded(best.wall_ms / ours.wall_ms),
            "best_dense": self.best_dense, "best_ours": self.best_ours,
        }  # fmt: skip
        for name, timing in self.times.items():
            row[f"{name}_cpu_ms"], row[f"{name}_wall_ms"] = rounded(timing.cpu_ms), rounded(timing.wall_ms)
            row[f"{name}_error"] = scientific(self.errors[name])
        row.update({f"{name}_over_ours": rounded(self.speedup_over(name)) for name in self.peers})
        row["notes"] = "; ".join(f"{name}: {why}" for name, why in self.notes.items())
        return row

    def brief(self) -> dict[str, Any]:
        """The columns that fit on a screen; ``x NAME`` is that contestant's time over ours."""
        return {
            "infer": self.case, "sparsity": self.sparsity, "threads": self.threads,
            **{f"{name} ms": rounded(self.times[name].cpu_ms, 1) for name in (OURS, OURS_FOLDED) if name in self.times},
            "x dense": rounded(self.speedup, 2), "best dense": self.best_dense,
            **{f"x {name}": rounded(self.speedup_over(name), 2) for name in self.peers},
            "error": scientific(self.errors[self.best_ours]),
        }  # fmt: skip


def measure_inference(
    case: StepCase, sparsities: Sequence[float], *, repeats: int = 5, peers: Sequence[str] = ()
) -> list[InferResult]:
    """Time inference (``eval()``, ``torch.inference_mode``) on random inputs; every contestant in turns.

    Args:
        case: network and batch.
        sparsities: fractions of zeros in [0, 1) of every pruned layer; one result each.
        repeats: timed turns of each contestant.
        peers: names of ``tamis.bench.PEERS`` to measure beside; dense torch always takes part.
    """
    torch._dynamo.reset()
    inputs, _ = random_batch(case)
    models = {sparsity: masked_model(case, sparsity).eval() for sparsity in sparsities}
    networks = assemble("infer", peers, {s: (model, inputs, s) for s, model in models.items()}, _ours)
    runs = {key: _run(network) for key, network in networks.members.items()}
    exact = {s: _exact(model, inputs) for s, model in models.items()}
    errors = {key: difference(run()[:_CHECKED], exact[networks.built_for(key)]) for key, run in runs.items()}
    times = contest(runs, repeats=repeats, warmup=2, minimum_ms=_TURN_MS)
    results = []
    for sparsity in models:
        mine = networks.at(sparsity, networks.members)
        found = networks.at(sparsity, errors)
        packed = mine[OURS].module
        assert packed is not None
        results.append(
            InferResult(
                case.name, sparsity, torch.get_num_threads(), count_packed(packed), networks.at(sparsity, times),
                found, {**networks.notes[sparsity], **wrong_results(found, WRONG)},
            )
        )  # fmt: skip
    return results


def _ours(model: nn.Module, inputs: Tensor, sparsity: float) -> dict[str, Network]:
    masks = random_masks(model, sparsity)
    packed = packed_model(model, masks)
    found = {OURS: Network(packed, inputs, packed)}
    if inputs.dim() == 4:
        # Folding scales rows of a weight, so that its zeros, and the masks, stay.
        folded = packed_model(fold_batch_norm(model), masks)
        found[OURS_FOLDED] = Network(folded, inputs, folded)
    return found


def _run(network: Network) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.inference_mode():
            return network.call(network.inputs)

    return run


def _exact(model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(model).double()(inputs[:_CHECKED].double())
