"""Single layers: ours beside dense torch and other peers, forward alone and forward plus backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from tamis.bench._cases import LayerCase
from tamis.bench._contest import Timing, contest
from tamis.bench._field import assemble, wrong_results
from tamis.bench._machine import reference_gflops
from tamis.bench._problem import Contestant, Problem, as_given, batch_last
from tamis.bench._rounding import rounded, scientific
from tamis.bench.peers import DENSE_FORMS
from tamis.kernels import ConvGeometry, PackedPattern, sparse_conv2d, sparse_linear

OURS, OURS_BATCH_LAST = "ours", "ours_batch_last"
WRONG = 1e-3  # a larger error than any rounding of float32 explains
_TURN_MS = 10.0
_LEAST_BATCH = 16  # smaller batches do not fill the vectors of the batch-last format


@dataclass(frozen=True)
class Entry:
    """One contestant's medians and its largest errors against float64; ``both`` is None without a backward."""

    forward: Timing
    both: Timing | None
    error_forward: float
    error_gradients: float | None

    @property
    def error(self) -> float:
        """The larger of both errors."""
        return max(self.error_forward, self.error_gradients or 0.0)


@dataclass(frozen=True)
class LayerResult:
    """What one layer took at one sparsity.

    Attributes:
        layer: name of the case.
        sparsity: fraction of zeros.
        batch: images or rows.
        threads: of torch's pool.
        backward: whether forward plus backward were measured, or the forward alone.
        entries: by contestant: ``ours`` takes and returns contiguous tensors, ``ours_batch_last`` those of the
            batch-last format, ``nchw`` and ``nhwc`` are dense torch, others peers.
        notes: by peer, why it has no entry or why its entry does not count.
        live_flops: useful operations of the measured passes.
        peak_gflops: what a dense matrix product reaches here on one thread.
    """

    layer: str
    sparsity: float
    batch: int
    threads: int
    backward: bool
    entries: dict[str, Entry]
    notes: dict[str, str] = field(default_factory=dict)
    live_flops: int = 0
    peak_gflops: float = float("nan")

    def timing(self, name: str) -> Timing | None:
        """The measured passes of a contestant; None where it has no backward or takes no part."""
        entry = self.entries.get(name)
        if entry is None:
            return None
        return entry.both if self.backward else entry.forward

    @property
    def best_dense(self) -> str:
        """The dense memory format that takes less CPU time."""
        return min((n for n in DENSE_FORMS if n in self.entries), key=lambda n: _known(self.timing(n)).cpu_ms)

    @property
    def speedup(self) -> float:
        """CPU time of the better dense format over ours."""
        return self.speedup_over(self.best_dense) or float("nan")

    def speedup_over(self, name: str) -> float | None:
        """CPU time of a contestant over ours; forward against forward for one without backward; None if it is wrong."""
        if name not in self.entries or self.entries[name].error > WRONG:
            return None
        theirs, ours = self.timing(name), self.timing(OURS)
        if theirs is None:
            theirs, ours = self.entries[name].forward, self.entries[OURS].forward
        return theirs.cpu_ms / _known(ours).cpu_ms

    @property
    def peers(self) -> list[str]:
        """Contestants that are neither ours nor plain dense torch."""
        return [name for name in self.entries if name not in (OURS, OURS_BATCH_LAST, *DENSE_FORMS)]

    def row(self) -> dict[str, Any]:
        """Flat values for a CSV; ``NAME_cpu_ms`` is of the passes that ``measured`` names."""
        ours, best = _known(self.timing(OURS)), self.best_dense
        row: dict[str, Any] = {
            "layer": self.layer, "sparsity": self.sparsity, "batch": self.batch, "threads": self.threads,
            "measured": "forward and backward" if self.backward else "forward",
            "speedup": rounded(self.speedup),
            "speedup_wall": rounded(_known(self.timing(best)).wall_ms / ours.wall_ms),
            "speedup_forward": rounded(self._best_forward() / self.entries[OURS].forward.cpu_ms),
            "best_dense": best,
            "share_of_fma_peak": rounded(self.live_flops / (ours.cpu_ms * 1e6) / self.peak_gflops),
            "error_forward": scientific(self.entries[OURS].error_forward),
            "error_gradients": scientific(self.entries[OURS].error_gradients),
        }  # fmt: skip
        for name, entry in self.entries.items():
            timing = self.timing(name)
            row[f"{name}_cpu_ms"] = rounded(timing.cpu_ms) if timing else ""
            row[f"{name}_wall_ms"] = rounded(timing.wall_ms) if timing else ""
            if self.backward:
                row[f"{name}_forward_cpu_ms"] = rounded(entry.forward.cpu_ms)
        for name in self.peers:
            row[f"{name}_over_ours"] = rounded(self.speedup_over(name))
        for name in (*self.peers, *([OURS_BATCH_LAST] if OURS_BATCH_LAST in self.entries else [])):
            row[f"{name}_error"] = scientific(self.entries[name].error)
        row["notes"] = "; ".join(f"{name}: {why}" for name, why in self.notes.items())
        return row

    def brief(self) -> dict[str, Any]:
        """The columns that fit on a screen; ``x NAME`` is that contestant's time over ours."""
        batch_last = self.timing(OURS_BATCH_LAST)
        return {
            "layer": self.layer, "sparsity": self.sparsity, "threads": self.threads,
            "ours ms": rounded(_known(self.timing(OURS)).cpu_ms),
            "batch-last ms": rounded(batch_last.cpu_ms) if batch_last else "",
            "x dense": rounded(self.speedup, 2), "best dense": self.best_dense,
            **{f"x {name}": rounded(self.speedup_over(name), 2) for name in self.peers},
            "peak": rounded(self.row()["share_of_fma_peak"], 2), "error": scientific(self.entries[OURS].error),
        }  # fmt: skip

    def _best_forward(self) -> float:
        return min(self.entries[name].forward.cpu_ms for name in DENSE_FORMS if name in self.entries)


def measure_layer(
    case: LayerCase, sparsities: Sequence[float], *, repeats: int = 5, peers: Sequence[str] = ()
) -> list[LayerResult]:
    """Time one layer with random unstructured masks; one result a sparsity.

    With a batch of 1 the forward alone is measured, in inference mode.  All contestants take turns in one contest;
    dense torch always takes part.

    Args:
        case: the layer.
        sparsities: fractions of zeros in [0, 1).
        repeats: timed turns of each contestant.
        peers: names of ``tamis.bench.PEERS`` to measure beside.
    """
    torch._dynamo.reset()
    problems = {problem.sparsity: problem for problem in Problem.several(case, sparsities)}
    contestants = assemble("layer", peers, {s: (problem,) for s, problem in problems.items()}, _ours)
    owner = {key: problems[contestants.built_for(key)] for key in contestants.members}
    backward = case.batch > 1
    entries, failed = _measured(contestants.members, owner, backward=backward, repeats=repeats)
    peak = reference_gflops()
    results = []
    for sparsity, problem in problems.items():
        mine = contestants.at(sparsity, entries)
        notes = {**contestants.notes[sparsity], **wrong_results({n: e.error for n, e in mine.items()}, WRONG)}
        notes |= contestants.at(sparsity, failed)
        flops = (6 if backward else 2) * int(problem.mask.sum()) * problem.grad[:, 0].numel()
        results.append(
            LayerResult(
                case.name, sparsity, case.batch, torch.get_num_threads(), backward, mine, notes, flops, peak
            )
        )  # fmt: skip
    return results


def _measured(
    running: Mapping[str, Contestant], owner: Mapping[str, Problem], *, backward: bool, repeats: int
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Times and errors by key, and what those raised that failed in the middle of it (peers; ours may not)."""
    both: dict[str, Timing] = {}
    failed: dict[str, str] = {}
    if backward:
        trained = {key: c.both for key, c in running.items() if c.train is not None}
        both = contest(trained, repeats=repeats, warmup=2, minimum_ms=_TURN_MS, failed=failed)
    standing = {k: c.forward for k, c in running.items() if k not in failed}
    forward = contest(standing, repeats=repeats, warmup=2, minimum_ms=_TURN_MS, failed=failed)
    broken = {k: why for k, why in failed.items() if k.endswith((OURS, OURS_BATCH_LAST))}
    if broken:
        raise RuntimeError(f"the sparse kernels failed while they were timed: {broken}")
    return {k: Entry(forward[k], both.get(k), *owner[k].errors(running[k])) for k in forward}, failed


def _ours(problem: Problem) -> dict[str, Contestant]:
    """The product as it is used: chooser on, contiguous tensors in and out; and with batch-last tensors."""
    layouts = {OURS: as_given}
    if problem.case.batch >= _LEAST_BATCH:
        layouts[OURS_BATCH_LAST] = batch_last
    found = {}
    for name, layout in layouts.items():
        pattern = PackedPattern.from_mask(problem.mask)
        weight = pattern.pack(problem.weight).requires_grad_()
        if problem.case.pixels:
            run = partial(sparse_conv2d, values=weight, bias=None, pattern=pattern, geometry=_geometry(problem.case))
        else:
            run = partial(sparse_linear, values=weight, bias=None, pattern=pattern)
        found[name] = Contestant(run, layout(problem.x), run, layout(problem.grad), weight, pattern.unpack)
    return found


def _geometry(case: LayerCase) -> ConvGeometry:
    return ConvGeometry(
        size=(case.pixels, case.pixels), kernel=(case.kernel, case.kernel), stride=(case.stride, case.stride),
        padding=(case.padding,) * 4,
    )  # fmt: skip


def _known(timing: Timing | None) -> Timing:
    assert timing is not None
    return timing
