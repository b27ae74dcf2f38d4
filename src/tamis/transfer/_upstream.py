"""Does accuracy upstream predict accuracy downstream?  The correlation, by task, and without extreme models.

A few models may carry such a number, so it is never shown alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tamis.errors import UsageError
from tamis.transfer._effects import log_odds
from tamis.transfer._outcomes import Model, Outcomes


@dataclass(frozen=True)
class Correlation:
    """Between upstream accuracy and the log-odds downstream.

    Attributes:
        without: what was left out, empty for nothing.
        n: models.
        pearson, spearman: with the mean over tasks of log-odds that were centred in each task; NaN without spread.
        per_task: Pearson on each task.
    """

    without: str
    n: int
    pearson: float
    spearman: float
    per_task: Mapping[str, float]


def correlation(
    outcomes: Outcomes,
    upstream: Mapping[tuple[str, float], float],
    arch: str,
    kind: str,
    *,
    without: Sequence[Model] = (),
) -> Correlation:
    """Over all models of an architecture and kind, the dense one included, whose upstream accuracy is known.

    Args:
        outcomes: without a missing cell among those models.
        upstream: upstream accuracy of this architecture by (method, sparsity); any unit.
        arch: of the models.
        kind: ``linear`` or ``full``.
        without: models to leave out.

    Raises:
        UsageError: fewer than three models, or a missing cell.
    """
    chosen = [m for m in known_models(outcomes, upstream, arch, kind) if m not in without]
    if len(chosen) < 3:
        raise UsageError(f"{arch} {kind}: {len(chosen)} models with a known upstream accuracy; expected at least 3")
    x = [upstream[m.method, m.sparsity] for m in chosen]
    odds = {task: [finite_log_odds(outcomes, m, task) for m in chosen] for task in outcomes.tasks(arch, kind)}
    centred = {task: [value - math.fsum(values) / len(values) for value in values] for task, values in odds.items()}
    y = [math.fsum(values[i] for values in centred.values()) / len(centred) for i in range(len(chosen))]
    return Correlation(
        ", ".join(_short(m) for m in without),
        len(chosen),
        pearson(x, y),
        pearson(midranks(x), midranks(y)),
        {task: pearson(x, values) for task, values in odds.items()},
    )


def correlations(
    outcomes: Outcomes, upstream: Mapping[tuple[str, float], float], arch: str, kind: str
) -> tuple[Correlation, ...]:
    """With all models; without the one whose upstream accuracy is farthest from the mean; then also without each
    method in turn.  Fewer where fewer than three models would be left."""
    models = known_models(outcomes, upstream, arch, kind)
    if len(models) < 3:
        return ()
    mean = math.fsum(upstream[m.method, m.sparsity] for m in models) / len(models)
    extreme = max(models, key=lambda m: abs(upstream[m.method, m.sparsity] - mean))
    drops: list[tuple[Model, ...]] = [(), (extreme,)]
    for method in dict.fromkeys(m.method for m in models if not m.is_dense):
        drops.append((extreme, *(m for m in models if m.method == method and m != extreme)))
    return tuple(
        correlation(outcomes, upstream, arch, kind, without=drop)
        for drop in dict.fromkeys(drops)
        if len(models) - len(drop) >= 3
    )


def known_models(
    outcomes: Outcomes, upstream: Mapping[tuple[str, float], float], arch: str, kind: str
) -> tuple[Model, ...]:
    """The models of an architecture and kind with all their cells whose upstream accuracy is known, sorted."""
    tasks = set(outcomes.tasks(arch, kind))
    mine = [m for m in outcomes.models if (m.arch, m.kind) == (arch, kind) and (m.method, m.sparsity) in upstream]
    return tuple(m for m in mine if tasks <= outcomes.values[m].keys())


def finite_log_odds(outcomes: Outcomes, model: Model, task: str) -> float:
    """Log-odds of a mean accuracy, 0 and 1 taken half a test image away.

    Raises:
        UsageError: 0 or 1, and the number of test images is not known.
    """
    accuracy = outcomes.mean(model, task)
    odds = log_odds(accuracy, outcomes.n_test.get(task, 0))
    if math.isinf(odds):
        raise UsageError(f"{task}: the log-odds of {accuracy:g} need the number of test images, column n_test")
    return odds


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation; NaN where a side has no spread."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    xy = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    xx, yy = math.fsum((a - mean_x) ** 2 for a in x), math.fsum((b - mean_y) ** 2 for b in y)
    return xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else math.nan


def midranks(values: Iterable[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs.

    >>> midranks([3.0, 1.0, 3.0])
    [2.5, 1.0, 2.5]
    """
    given = list(values)
    return [sum(v < value for v in given) + (sum(v == value for v in given) + 1) / 2 for value in given]


def _short(model: Model) -> str:
    return model.method if model.is_dense else f"{model.method} {100 * model.sparsity:g} %"
