"""What the cells of a study say together: an estimate per method and sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tamis.study._description import BASELINE
from tamis.study._results import CellResult
from tamis.study._statistics import Difference, Estimate, estimate, paired_difference


@dataclass(frozen=True)
class Group:
    """All seeds of one method at one sparsity.

    Attributes:
        cells: names of all its cells.
        missing: names of those without a result.
        accuracy: over the seeds that have one; so are the others.
        difference: accuracy minus that of the reference at the same sparsity, over common seeds.
        below_dense: accuracy minus that of the dense baseline, over common seeds.
    """

    method: str
    sparsity: float
    cells: tuple[str, ...]
    missing: tuple[str, ...]
    accuracy: Estimate
    train_cpu_s: Estimate
    train_flops: Estimate
    train_flops_nonzero: Estimate
    step_dense_cpu_ms: Estimate
    step_packed_cpu_ms: Estimate
    difference: Difference
    below_dense: Difference


@dataclass(frozen=True)
class Summary:
    """A study at a glance.

    Attributes:
        methods: in the order of the study, without the dense baseline.
        sparsities: increasing.
        dense: the baseline, None if the results have none.
        groups: by method and sparsity.
        reference: the method of ``Group.difference``.
        failed: every cell that failed, with its error.
        still_open: names of the cells that were not trained yet.
    """

    study: str
    methods: tuple[str, ...]
    sparsities: tuple[float, ...]
    dense: Group | None
    groups: dict[tuple[str, float], Group]
    reference: str
    seeds: int
    held_out: int
    failed: dict[str, str]
    still_open: tuple[str, ...]

    def best(self, sparsity: float) -> str | None:
        """The method with the highest mean accuracy at one sparsity, the earlier one of equals."""
        found = [
            (self.groups[m, sparsity].accuracy.mean, -place, m)
            for place, m in enumerate(self.methods)
            if (m, sparsity) in self.groups and self.groups[m, sparsity].accuracy.n
        ]
        return max(found)[2] if found else None


def summarise(results: Sequence[CellResult], reference: str) -> Summary:
    """Estimates of all methods and sparsities in ``results``; ``reference`` is the method to compare with."""
    methods = tuple(dict.fromkeys(r.method for r in results if r.method != BASELINE))
    sparsities = tuple(sorted({r.sparsity_requested for r in results if r.method != BASELINE}))
    keys = dict.fromkeys((r.method, r.sparsity_requested) for r in results)
    by_key = {key: [r for r in results if (r.method, r.sparsity_requested) == key] for key in keys}
    dense = by_key.get((BASELINE, 0.0), [])
    groups = {}
    for (method, sparsity), rows in by_key.items():
        rival = dense if reference == BASELINE else by_key.get((reference, sparsity), [])
        groups[method, sparsity] = _group(method, sparsity, rows, rival, dense)
    return Summary(
        study=results[0].study if results else "",
        methods=methods,
        sparsities=sparsities,
        dense=groups.pop((BASELINE, 0.0), None),
        groups=groups,
        reference=reference,
        seeds=len({r.seed for r in results}),
        held_out=int(next((r.held_out for r in results if r.state == "done"), 0)),
        failed={r.cell: r.error for r in results if r.state == "failed"},
        still_open=tuple(r.cell for r in results if r.state == "open"),
    )


def _group(
    method: str, sparsity: float, rows: Sequence[CellResult], rival: Sequence[CellResult], dense: Sequence[CellResult]
) -> Group:
    done = [row for row in rows if row.state == "done"]
    mine = _accuracies(rows)
    return Group(
        method=method,
        sparsity=sparsity,
        cells=tuple(row.cell for row in rows),
        missing=tuple(row.cell for row in rows if row.state != "done"),
        accuracy=estimate([row.accuracy for row in done]),
        train_cpu_s=estimate([row.train_cpu_s for row in done]),
        train_flops=estimate([row.train_flops for row in done]),
        train_flops_nonzero=estimate([row.train_flops_nonzero for row in done]),
        step_dense_cpu_ms=estimate([row.step_dense_cpu_ms for row in done]),
        step_packed_cpu_ms=estimate([row.step_packed_cpu_ms for row in done]),
        difference=paired_difference(mine, _accuracies(rival)),
        below_dense=paired_difference(mine, _accuracies(dense)),
    )


def _accuracies(rows: Sequence[CellResult]) -> dict[int, float]:
    return {row.seed: row.accuracy for row in rows if row.state == "done"}
