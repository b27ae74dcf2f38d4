"""Everything that a table of results says: scores with both intervals, tests, and methods against one another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tamis.errors import UsageError
from tamis.transfer._effects import SCALES, Scale, Score, effects, mean_if_finite, score_of
from tamis.transfer._intervals import Interval, bootstrap
from tamis.transfer._outcomes import Model, Outcomes
from tamis.transfer._wilcoxon import SignedRank, holm, signed_rank

DEFAULT_SCALE: Scale = "log_error_ratio"


@dataclass(frozen=True)
class Verdict:
    """One sparse model against its dense baseline.

    Attributes:
        score: everything that needs no chance.
        seeds: interval for new seeds on these tasks.
        both: interval for new tasks and new seeds.
        over_tasks: interval for new tasks, at the means over seeds.
        tests: paired Wilcoxon over tasks by scale; the verdict may depend on it.
        holm_p: that of the default scale, corrected for all models of the architecture and kind.
    """

    score: Score
    seeds: Interval
    both: Interval
    over_tasks: Interval
    tests: dict[Scale, SignedRank]
    holm_p: float


@dataclass(frozen=True)
class Duel:
    """Method ``first`` against ``second`` at one sparsity, paired by task.

    Attributes:
        better: tasks on which the first has a lower error.
        log_error_ratio: mean; negative where the first is better; NaN where an error is 0.
        log_odds: mean difference; positive where the first is better; NaN where one is infinite.
        test: paired Wilcoxon on the log error ratio; ``log_odds_test`` on the log-odds.
        holm_p: that of ``test``, corrected for all pairs of the architecture and kind.
    """

    first: Model
    second: Model
    n_tasks: int
    better: int
    log_error_ratio: float
    log_odds: float
    test: SignedRank
    log_odds_test: SignedRank
    holm_p: float


def verdicts(outcomes: Outcomes, *, scale: Scale = DEFAULT_SCALE, resamples: int = 10_000) -> tuple[Verdict, ...]:
    """All sparse models whose cells are complete, and whose baseline's are; :meth:`Outcomes.missing` names the others.

    Args:
        outcomes: see :func:`tamis.transfer.outcomes_of`.
        scale: of the test that is corrected by Holm's method.
        resamples: of each bootstrap interval.

    Raises:
        UsageError: a dense baseline without error, or an unknown scale.
    """
    if scale not in SCALES:
        raise UsageError(f"scale {scale!r}; expected one of {', '.join(SCALES)}")
    complete = [model for model in outcomes.sparse_models if is_complete(outcomes, model)]
    tests = {model: {s: signed_rank(effects(outcomes, model).on(s)) for s in SCALES} for model in complete}
    corrected: dict[Model, float] = {}
    for family in dict.fromkeys((model.arch, model.kind) for model in complete):
        members = [model for model in complete if (model.arch, model.kind) == family]
        corrected |= dict(zip(members, holm([tests[m][scale].p for m in members]), strict=True))
    return tuple(
        Verdict(
            score_of(outcomes, model),
            bootstrap(outcomes, model, "seeds", resamples=resamples),
            bootstrap(outcomes, model, "both", resamples=resamples),
            bootstrap(outcomes, model, "tasks", resamples=resamples),
            tests[model],
            corrected[model],
        )
        for model in complete
    )


def duel(outcomes: Outcomes, first: Model, second: Model, *, holm_p: float = math.nan) -> Duel:
    """Two models of one architecture and kind, paired by task; overlapping intervals are no test.

    Raises:
        UsageError: a missing cell, or models of different architectures or kinds.
    """
    if (first.arch, first.kind) != (second.arch, second.kind):
        raise UsageError(f"{first} against {second}: expected one architecture and one kind")
    found = effects(outcomes, first, second)
    ratios, odds = found.on("log_error_ratio"), found.on("log_odds")
    return Duel(
        first,
        second,
        len(ratios),
        sum(a > b for a, b in zip(found.first, found.second, strict=True)),
        mean_if_finite(ratios),
        mean_if_finite(odds),
        signed_rank(ratios),
        signed_rank(odds),
        holm_p,
    )


def duels(outcomes: Outcomes) -> tuple[Duel, ...]:
    """Every pair of methods at every sparsity that both have, where no cell is missing; corrected by Holm's method
    within an architecture and kind."""
    found: list[Duel] = []
    complete = [model for model in outcomes.sparse_models if is_complete(outcomes, model)]
    for family in dict.fromkeys((model.arch, model.kind) for model in complete):
        members = [model for model in complete if (model.arch, model.kind) == family]
        pairs = [
            duel(outcomes, a, b)
            for i, a in enumerate(members)
            for b in members[i + 1 :]
            if a.sparsity == b.sparsity and a.method != b.method
        ]
        corrected = holm([pair.test.p for pair in pairs])
        found += [duel(outcomes, d.first, d.second, holm_p=p) for d, p in zip(pairs, corrected, strict=True)]
    return tuple(found)


def is_complete(outcomes: Outcomes, model: Model) -> bool:
    """Whether the model and its dense baseline have a value on every task of their architecture and kind."""
    family = (model.arch, model.kind)
    dense = [m for m in outcomes.values if m.is_dense and (m.arch, m.kind) == family]
    tasks = outcomes.tasks(*family)
    return len(dense) == 1 and all(task in outcomes.values[m] for m in (model, *dense) for task in tasks)
