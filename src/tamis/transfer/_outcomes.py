"""Accuracies by model, task and seed: what the statistics are computed from.

Rows become outcomes only if they can be compared: one recipe, one transform and one split for each task, no cell twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tamis.errors import UsageError
from tamis.transfer._results import Row

DENSE = "dense"
PAPER_BEST_TEST = "paper_best_test"


@dataclass(frozen=True, order=True)
class Model:
    """One configuration: a sparse or dense upstream model and how it was transferred (``linear`` or ``full``)."""

    arch: str
    kind: str
    method: str
    sparsity: float

    @property
    def is_dense(self) -> bool:
        """Whether this is a baseline."""
        return self.method.lower() == DENSE

    def __str__(self) -> str:
        amount = "" if self.is_dense else f" {100 * self.sparsity:g} %"
        return f"{self.arch} {self.kind} {self.method}{amount}"


@dataclass(frozen=True)
class Outcomes:
    """Primary accuracies as fractions.

    Attributes:
        values: by model, then task, then seed; several replicates of one seed are averaged.
        n_test: test images by task, where the rows say.
        notes: what a reader has to know, such as cells with replicates; one sentence each.
    """

    values: Mapping[Model, Mapping[str, Mapping[str, float]]]
    n_test: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[Model, ...]:
        """All models, sorted."""
        return tuple(sorted(self.values))

    @property
    def sparse_models(self) -> tuple[Model, ...]:
        """All models but the baselines."""
        return tuple(model for model in self.models if not model.is_dense)

    def baseline(self, model: Model) -> Model:
        """The dense model of the same architecture and kind.

        Raises:
            UsageError: there is none.
        """
        found = [m for m in self.values if m.is_dense and (m.arch, m.kind) == (model.arch, model.kind)]
        if len(found) != 1:
            raise UsageError(f"{model}: found {len(found)} dense baselines of {model.arch} {model.kind}; expected one")
        return found[0]

    def tasks(self, arch: str, kind: str) -> tuple[str, ...]:
        """All tasks on which any model of this architecture and kind was measured, sorted."""
        return tuple(
            sorted(
                {t for model, found in self.values.items() if (model.arch, model.kind) == (arch, kind) for t in found}
            )
        )

    def missing(self) -> tuple[str, ...]:
        """The cells without a value, by name: a model on a task that others of its architecture and kind have."""
        return tuple(
            f"{model} on {task}"
            for model in self.models
            for task in self.tasks(model.arch, model.kind)
            if task not in self.values[model]
        )

    def mean(self, model: Model, task: str) -> float:
        """Mean over seeds.

        Raises:
            UsageError: the cell is missing; it is named.
        """
        return math.fsum(self.cell(model, task).values()) / len(self.cell(model, task))

    def cell(self, model: Model, task: str) -> Mapping[str, float]:
        """Accuracy by seed.

        Raises:
            UsageError: the cell is missing; it is named.
        """
        if model not in self.values or task not in self.values[model]:
            raise UsageError(
                f"missing cell: {model} on {task}; a score over fewer tasks would be another number, so measure it or "
                "leave the task out for all (--tasks)"
            )
        return self.values[model][task]


def outcomes_of(rows: Iterable[Row], *, selection: str = "", tasks: Sequence[str] = ()) -> Outcomes:
    """Collect rows of a results table.

    Args:
        rows: of :func:`tamis.transfer.read_results`.
        selection: keep the rows that were chosen this way (``last``, ``best_val``, ``paper_best_test``).  By default
            ``last``, in cells without one ``best_val``; never ``paper_best_test``, which was chosen on the test set.
        tasks: keep these; all by default.

    Raises:
        UsageError: a cell and seed occurs twice without distinct replicate numbers; rows of one task differ in
            split, recipe or transform within an architecture and kind; a value is no fraction; nothing is left.
    """
    kept = _selected([row for row in rows if not tasks or row.task in tasks], selection)
    if not kept:
        raise UsageError("no results left to compare; expected rows of at least one model and its dense baseline")
    _comparable(kept)
    found: dict[Model, dict[str, dict[str, dict[int, float]]]] = {}
    n_test: dict[str, int] = {}
    for row in kept:
        model = Model(row.arch, row.kind, row.method, row.sparsity)
        replicates = found.setdefault(model, {}).setdefault(row.task, {}).setdefault(row.seed, {})
        if row.replicate in replicates:
            raise UsageError(
                f"{model} on {row.task}, seed {row.seed}: two rows with replicate {row.replicate}; a repetition needs "
                "a replicate number of its own"
            )
        if not 0 <= row.value <= 1:
            raise UsageError(f"{model} on {row.task}, seed {row.seed}: value {row.value}; expected a fraction, 0 to 1")
        replicates[row.replicate] = row.value
        if row.n_test:
            n_test[row.task] = row.n_test
    notes = tuple(
        f"{model} has replicates of one seed on {', '.join(sorted(repeated))}; they were averaged"
        for model, by_task in found.items()
        if (repeated := [task for task, by_seed in by_task.items() if any(len(v) > 1 for v in by_seed.values())])
    )
    means = {
        model: {
            task: {seed: math.fsum(values.values()) / len(values) for seed, values in by_seed.items()}
            for task, by_seed in by_task.items()
        }
        for model, by_task in found.items()
    }
    return Outcomes(means, n_test, notes)


def _selected(rows: Sequence[Row], selection: str) -> list[Row]:
    if selection:
        return [row for row in rows if row.selection == selection]
    fair = [row for row in rows if row.selection != PAPER_BEST_TEST]
    cells = {_cell(row) for row in fair if row.selection in ("", "last")}
    return [row for row in fair if row.selection in ("", "last") or _cell(row) not in cells]


def _cell(row: Row) -> tuple[object, ...]:
    return row.arch, row.kind, row.method, row.sparsity, row.task, row.seed, row.replicate


def _comparable(rows: Sequence[Row]) -> None:
    for name in ("split_sha", "recipe_hash", "transform_id", "metric"):
        first: dict[tuple[str, str, str], Row] = {}
        for row in rows:
            other = first.setdefault((row.arch, row.kind, row.task), row)
            if getattr(row, name) != getattr(other, name):
                raise UsageError(
                    f"{row.arch} {row.kind} on {row.task}: {name} is {getattr(other, name)!r} for {other.method} and "
                    f"{getattr(row, name)!r} for {row.method}; only results of one split, recipe and transform are "
                    "compared"
                )
