"""What sparsity cost on each task, on four scales, and the score over tasks.

With err = 1 - mean accuracy over seeds, the relative error increase of a sparse model S on a task D is
``r(D, S) = (err(D, S) - err(D, dense)) / err(D, dense)``: negative where the sparse model is better (Iofinova et al.
2022, section 3.1).  The score of S is its unweighted mean over tasks.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tamis.errors import UsageError
from tamis.student_t import t_quantile
from tamis.transfer._outcomes import Model, Outcomes

Scale = Literal["error_difference", "relative_error", "log_error_ratio", "log_odds"]
SCALES: tuple[Scale, ...] = ("error_difference", "relative_error", "log_error_ratio", "log_odds")

# Fine-grained recognition against general objects and scenes; the grouping is tamis's.
SPECIALISED = ("aircraft", "birds", "cars", "flowers", "food101", "pets")


@dataclass(frozen=True)
class Effects:
    """Two accuracies for each task, both means over seeds: ``first`` of a model, ``second`` of what it is set against.

    Attributes:
        tasks: sorted names; the other fields are in their order.
        n_test: test images by task, 0 where it is not known.
    """

    tasks: tuple[str, ...]
    first: tuple[float, ...]
    second: tuple[float, ...]
    n_test: tuple[int, ...]

    @property
    def clipped(self) -> tuple[str, ...]:
        """Tasks with an accuracy of exactly 0 or 1; where ``n_test`` is known, log-odds keep half an image from it."""
        return tuple(t for t, a, b in zip(self.tasks, self.first, self.second, strict=True) if {a, b} & {0.0, 1.0})

    def on(self, scale: Scale) -> tuple[float, ...]:
        """The difference on each task; positive means more error of the first, but for ``log_odds`` less.

        A logarithm of zero is infinite, of either sign, which a test of ranks can take; where both accuracies are
        equal the difference is 0.

        Raises:
            UsageError: the second has no error on a task and the scale is its ratio, ``relative_error``.
        """
        pairs = list(zip(self.tasks, self.first, self.second, self.n_test, strict=True))
        if scale == "error_difference":
            return tuple((1 - a) - (1 - b) for _, a, b, _ in pairs)
        if scale == "log_odds":
            return tuple(0.0 if a == b else log_odds(a, n) - log_odds(b, n) for _, a, b, n in pairs)
        if scale == "log_error_ratio":
            return tuple(_log_ratio(1 - a, 1 - b) for _, a, b, _ in pairs)
        if scale != "relative_error":
            raise UsageError(f"scale {scale!r}; expected one of {', '.join(SCALES)}")
        for task, _, b, _ in pairs:
            if b == 1:
                raise UsageError(
                    f"{task}: the baseline has no error at all, so nothing is relative to it; leave it out"
                )
        return tuple(((1 - a) - (1 - b)) / (1 - b) for _, a, b, _ in pairs)

    def only(self, tasks: Sequence[str]) -> Effects:
        """Those of some tasks."""
        keep = [i for i, task in enumerate(self.tasks) if task in tasks]
        return Effects(
            tuple(self.tasks[i] for i in keep),
            tuple(self.first[i] for i in keep),
            tuple(self.second[i] for i in keep),
            tuple(self.n_test[i] for i in keep),
        )


def log_odds(accuracy: float, n_test: int = 0) -> float:
    """ln(a / (1 - a)); 0 and 1 become half a test image, or infinite where ``n_test`` is 0, that is unknown."""
    if accuracy in (0.0, 1.0) and n_test:
        accuracy = min(max(accuracy, 0.5 / n_test), 1 - 0.5 / n_test)
    return _log_ratio(accuracy, 1 - accuracy)


def _log_ratio(above: float, below: float) -> float:
    """ln(above / below) of numbers from 0 on; 0 where they are equal, infinite where one is 0."""
    if above == below:
        return 0.0
    if not above or not below:
        return -math.inf if not above else math.inf
    return math.log(above / below)


def effects(outcomes: Outcomes, model: Model, other: Model | None = None) -> Effects:
    """A model against its dense baseline, or against ``other``, on all tasks of its architecture and kind.

    Raises:
        UsageError: a cell of either is missing; it is named.
    """
    second = outcomes.baseline(model) if other is None else other
    tasks = outcomes.tasks(model.arch, model.kind)
    return Effects(
        tasks,
        tuple(outcomes.mean(model, task) for task in tasks),
        tuple(outcomes.mean(second, task) for task in tasks),
        tuple(outcomes.n_test.get(task, 0) for task in tasks),
    )


@dataclass(frozen=True)
class Score:
    """Relative error increase over tasks; everything is a fraction, not percent.

    Attributes:
        mean: unweighted mean over tasks.
        se: standard deviation over tasks (n - 1) over the root of their number; NaN for one task.
        t_low, t_high: 95 % interval of Student's t with tasks as the sample: these seeds, new tasks.
        geometric: exp(mean ln(err_S / err_dense)) - 1; NaN where an error is 0.
        ratio_of_means: mean error over mean dense error, minus 1.
        wins: tasks with a lower error than dense.
        log_odds: mean difference of the log-odds of a correct answer; positive is better; NaN where one is infinite.
        worst_task: with the largest increase.
        specialised, general: mean over either group of tasks; NaN where there are none.
        loo_low, loo_high: range of the mean when one task is left out, and the tasks responsible.
    """

    model: Model
    tasks: tuple[str, ...]
    mean_accuracy: float
    mean: float
    sd: float
    se: float
    t_low: float
    t_high: float
    median: float
    geometric: float
    ratio_of_means: float
    wins: int
    log_odds: float
    worst_task: str
    worst: float
    specialised: float
    general: float
    loo_low: float
    loo_low_without: str
    loo_high: float
    loo_high_without: str
    clipped: tuple[str, ...]


def score_of(outcomes: Outcomes, model: Model) -> Score:
    """Everything about one sparse model that needs no chance.

    Raises:
        UsageError: a missing cell, or a dense baseline without error; it is named.
    """
    found = effects(outcomes, model)
    r, n = found.on("relative_error"), len(found.tasks)
    mean = math.fsum(r) / n
    sd = statistics.stdev(r) if n > 1 else math.nan
    se = sd / math.sqrt(n)
    half = t_quantile(0.975, n - 1) * se if n > 1 else math.nan
    worst = max(range(n), key=lambda i: r[i])
    loo = sorted(((math.fsum(r) - r[i]) / (n - 1), found.tasks[i]) for i in range(n)) if n > 1 else [(math.nan, "")]
    groups = {task: task in SPECIALISED for task in found.tasks}
    errors = sum(1 - a for a in found.first), sum(1 - b for b in found.second)
    return Score(
        model,
        found.tasks,
        math.fsum(found.first) / n,
        mean,
        sd,
        se,
        mean - half,
        mean + half,
        statistics.median(r),
        math.expm1(mean_if_finite(found.on("log_error_ratio"))),
        errors[0] / errors[1] - 1,
        sum(value < 0 for value in r),
        mean_if_finite(found.on("log_odds")),
        found.tasks[worst],
        r[worst],
        mean_if_finite([value for value, task in zip(r, found.tasks, strict=True) if groups[task]]),
        mean_if_finite([value for value, task in zip(r, found.tasks, strict=True) if not groups[task]]),
        *loo[0],
        *loo[-1],
        found.clipped,
    )


def best_of_kinds(outcomes: Outcomes, arch: str) -> Mapping[tuple[str, float], Mapping[str, tuple[float, str]]]:
    """By (method, sparsity) and task, the larger of the mean accuracies of linear and full, and which it is.

    Only models and tasks that have both; ``full`` where they are equal.
    """
    found: dict[tuple[str, float], dict[str, tuple[float, str]]] = {}
    for model in outcomes.models:
        other = Model(arch, "full", model.method, model.sparsity)
        if (model.arch, model.kind) != (arch, "linear") or other not in outcomes.values:
            continue
        common = sorted(outcomes.values[model].keys() & outcomes.values[other].keys())
        found[model.method, model.sparsity] = {
            task: max(
                (outcomes.mean(other, task), "full"), (outcomes.mean(model, task), "linear"), key=lambda pair: pair[0]
            )
            for task in common
        }
    return found


def mean_if_finite(values: Sequence[float]) -> float:
    """Their mean; NaN without values, or where one is not finite."""
    return math.fsum(values) / len(values) if values and all(map(math.isfinite, values)) else math.nan
