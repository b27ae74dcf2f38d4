"""Models beside one another: outputs aligned with the labels, and gathered into conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tamis.audit._names import rows_of
from tamis.audit._outputs import Outputs
from tamis.errors import UsageError

DENSE = "dense"


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-z))`` in float64, without overflow."""
    small = np.exp(-np.abs(logits, dtype=np.float64))
    return np.where(logits >= 0, 1.0, small) / (1 + small)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax of ``logits`` (..., K) over the last axis, float64 of the same shape, without overflow."""
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Run:
    """One model, its rows in the order of the labels and its columns in that of the attributes.

    Attributes:
        about: the outputs that it comes from.
        logits: shape (N, K).
        thresholds: shape (K,), for ``logit > threshold``; unused by classes of one softmax.
    """

    about: Outputs
    logits: np.ndarray
    thresholds: np.ndarray

    @cached_property
    def predictions(self) -> np.ndarray:
        """bool, shape (N, K); for classes of one softmax the column of the largest logit."""
        if self.about.task == "multiclass":
            return self.logits.argmax(axis=1)[:, None] == np.arange(self.logits.shape[1])
        return self.logits > self.thresholds

    @cached_property
    def _softmax(self) -> np.ndarray:
        return softmax(self.logits)

    def prob(self, column: int) -> np.ndarray:
        """Probabilities of one attribute or class, float64, shape (N,)."""
        if self.about.task == "multiclass":
            return self._softmax[:, column]
        return sigmoid(self.logits[:, column])

    def scores(self, column: int) -> np.ndarray:
        """What ranks samples by this attribute: logits, or the softmax of one class; shape (N,)."""
        return self._softmax[:, column] if self.about.task == "multiclass" else self.logits[:, column]


@dataclass(frozen=True)
class Condition:
    """All models of one method and level.

    Attributes:
        id: ``dense``, or method, axis and level.
        runs: one a seed, by rising seed.
        partners: for each run the number of its dense run; empty if seeds do not match (then population means are
            compared), and for the dense condition.
        pairing: ``seed``, ``start`` (the dense models that they were made from), ``unpaired``, or empty for dense.
        notes: what a reader of its numbers must know.
    """

    id: str
    runs: tuple[Run, ...]
    partners: tuple[int, ...] = ()
    pairing: str = ""
    notes: tuple[str, ...] = ()

    @property
    def seeds(self) -> list[int]:
        """Training seeds of the runs."""
        return [run.about.seed for run in self.runs]

    @property
    def level(self) -> float:
        """Mean measured level of the runs."""
        return float(np.mean([run.about.level for run in self.runs]))

    def dense_shares(self, count: int) -> np.ndarray:
        """How much each of ``count`` dense runs counts in the mean that this condition is compared with."""
        if not self.partners:
            return np.full(count, 1 / count)
        return np.bincount(self.partners, minlength=count) / len(self.partners)


def align(outputs: Outputs, ids: np.ndarray, attributes: Sequence[str], thresholds: np.ndarray) -> Run:
    """A run with the rows of ``ids`` and the columns ``attributes``; UsageError if some are missing."""
    what = describe(outputs)
    missing = [name for name in attributes if name not in outputs.names]
    if missing:
        raise UsageError(f"{what}: no column {missing[0]!r}; its columns are {', '.join(outputs.names[:8])}")
    columns = [outputs.names.index(name) for name in attributes]
    if outputs.task == "multiclass" and len(columns) != len(outputs.names):
        raise UsageError(f"{what}: {len(columns)} of {len(outputs.names)} classes; a softmax needs all of its classes")
    rows = rows_of(outputs.ids, ids, what)
    logits = outputs.logits
    if columns != list(range(logits.shape[1])):
        logits = logits[:, columns]
    if not np.array_equal(rows, np.arange(len(rows))):
        logits = logits[rows]
    return Run(outputs, logits, thresholds)


def describe(outputs: Outputs) -> str:
    """How messages call a model."""
    return f"model {outputs.model or outputs.method or 'without a name'!r} {label(outputs)}, seed {outputs.seed}"


def label(outputs: Outputs) -> str:
    """Method, axis and level: what a condition is called."""
    return f"{outputs.method or 'compressed'}@{outputs.axis}={rounded(outputs):g}"


def rounded(outputs: Outputs) -> float:
    """The level to a ten-thousandth, so that seeds which differ by a few weights stay together."""
    return round(outputs.level, 4)


def gather(dense: Sequence[Run], compressed: Sequence[Run]) -> list[Condition]:
    """Conditions: dense first, then by method, axis and level (bits downwards).

    Raises:
        UsageError: two models of one condition have the same seed, or a dense model is not dense.
    """
    for run in dense:
        if run.about.axis == "sparsity" and run.about.level > 0:
            raise UsageError(
                f"{describe(run.about)} is given as dense; expected sparsity 0, since a pruned baseline hides "
                "what pruning did"
            )
    base = _condition(DENSE, dense)
    seeds = {seed: number for number, seed in enumerate(base.seeds)}
    groups: dict[tuple[str, str, float, str], list[Run]] = {}
    for run in compressed:
        sign = 1 if run.about.axis == "sparsity" else -1
        groups.setdefault((run.about.method, run.about.axis, sign * rounded(run.about), run.about.model), []).append(
            run
        )
    found = [base]
    names = [key[:3] for key in groups]
    for key in sorted(groups):
        runs = groups[key]
        name = label(runs[0].about) + (f" {key[3]}" if names.count(key[:3]) > 1 else "")
        found.append(_paired(_condition(name, runs), seeds, base))
    return found


def _condition(name: str, runs: Sequence[Run]) -> Condition:
    ordered = sorted(runs, key=lambda run: run.about.seed)
    seeds = [run.about.seed for run in ordered]
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise UsageError(f"{name}: two models have seed {seed}; expected different seeds")
    return Condition(name, tuple(ordered))


def _paired(condition: Condition, seeds: Mapping[int, int], base: Condition) -> Condition:
    notes = list(_recipe_notes(base, condition))
    partners = [seeds.get(run.about.partner) for run in condition.runs]
    if None in partners:
        notes.append("Seeds do not match those of the dense models: means of both populations are compared.")
        return Condition(condition.id, condition.runs, (), "unpaired", tuple(notes))
    kept = tuple(partner for partner in partners if partner is not None)
    pairing = "start" if any(run.about.dense_seed is not None for run in condition.runs) else "seed"
    if len(set(kept)) < len(kept):
        notes.append(
            "Several models start from one dense model: the spread over seeds leaves out how dense models differ."
        )
    return Condition(condition.id, condition.runs, kept, pairing, tuple(notes))


def _recipe_notes(base: Condition, condition: Condition) -> list[str]:
    """Which settings of the training differ, where both sides tell them."""
    ours, theirs = base.runs[0].about.meta.get("recipe"), condition.runs[0].about.meta.get("recipe")
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return []
    differ = sorted(str(key) for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    return [f"The recipe differs from that of the dense models in: {', '.join(differ)}."] if differ else []
