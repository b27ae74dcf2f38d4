"""What a table of transfer results says, as rows of plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.transfer import (
    Correlation,
    Duel,
    Outcomes,
    Row,
    Verdict,
    best_of_kinds,
    correlations,
    duels,
    outcomes_of,
    verdicts,
)
from tamis.transfer._effects import Scale, effects
from tamis.transfer._outcomes import Model

Record = dict[str, Any]
Upstream = Mapping[str, Mapping[tuple[str, float], float]]


@dataclass(frozen=True)
class TransferStatistics:
    """Everything that a table of results says.

    Attributes:
        outcomes: accuracies by model, task and seed.
        verdicts: every complete sparse model against its dense baseline.
        duels: methods against one another at equal sparsity.
        correlations: by (arch, kind), with upstream accuracy; empty where it is not known.
        scale: of the test that Holm's method corrects.
        upstream: architecture -> (method, sparsity) -> upstream accuracy, where it is known.
    """

    outcomes: Outcomes
    verdicts: tuple[Verdict, ...]
    duels: tuple[Duel, ...]
    correlations: Mapping[tuple[str, str], tuple[Correlation, ...]]
    scale: Scale
    upstream: Upstream

    @property
    def missing(self) -> tuple[str, ...]:
        """Cells without a value, and baselines that do not exist; by name."""
        families = {(m.arch, m.kind) for m in self.outcomes.models}
        dense = {(m.arch, m.kind) for m in self.outcomes.models if m.is_dense}
        return (
            *self.outcomes.missing(),
            *(f"{arch} {kind}: no dense baseline" for arch, kind in sorted(families - dense)),
        )

    @property
    def families(self) -> tuple[tuple[str, str], ...]:
        """(arch, kind) of all models, sorted."""
        return tuple(sorted({(m.arch, m.kind) for m in self.outcomes.models}))


def transfer_statistics(
    rows: Sequence[Row],
    *,
    selection: str = "",
    tasks: Sequence[str] = (),
    scale: Scale = "log_error_ratio",
    resamples: int = 10_000,
    upstream: Upstream | None = None,
) -> TransferStatistics:
    """Compute everything; see :func:`tamis.transfer.outcomes_of` and :func:`tamis.transfer.verdicts`.

    ``upstream`` is, for each architecture, the upstream accuracy by (method, sparsity); the name "" stands for the
    architectures that it does not name. None takes the column of the rows, by its mean.

    Raises:
        UsageError: rows that cannot be compared, or a dense baseline without error.
    """
    outcomes = outcomes_of(rows, selection=selection, tasks=tasks)
    families = sorted({(m.arch, m.kind) for m in outcomes.models})
    given = _upstream(rows) if upstream is None else upstream
    known = {arch: given.get(arch, given.get("", {})) for arch, _ in families}
    return TransferStatistics(
        outcomes,
        verdicts(outcomes, scale=scale, resamples=resamples),
        duels(outcomes),
        {family: found for family in families if (found := correlations(outcomes, known[family[0]], *family))},
        scale,
        known,
    )


def _upstream(rows: Sequence[Row]) -> Upstream:
    found: dict[str, dict[tuple[str, float], list[float]]] = {}
    for row in rows:
        if not math.isnan(row.upstream):
            found.setdefault(row.arch, {}).setdefault((row.method, row.sparsity), []).append(row.upstream)
    return {
        arch: {model: math.fsum(values) / len(values) for model, values in models.items()}
        for arch, models in found.items()
    }


def score_records(found: TransferStatistics, arch: str, kind: str) -> list[Record]:
    """One row per sparse model: score with SE, both intervals, the t interval and what else one number says."""
    rows = []
    for verdict in verdicts_of(found, arch, kind):
        s, test = verdict.score, verdict.tests[found.scale]
        rows.append(
            {
                "method": s.model.method, "sparsity": s.model.sparsity, "tasks": len(s.tasks),
                "mean": s.mean, "se": s.se,
                "seeds_low": verdict.seeds.low, "seeds_high": verdict.seeds.high,
                "seeds_unavailable": verdict.seeds.unavailable,
                "both_low": verdict.both.low, "both_high": verdict.both.high,
                "both_unavailable": verdict.both.unavailable,
                "tasks_low": verdict.over_tasks.low, "tasks_high": verdict.over_tasks.high,
                "t_low": s.t_low, "t_high": s.t_high, "median": s.median, "geometric": s.geometric,
                "ratio_of_means": s.ratio_of_means, "wins": s.wins, "log_odds": s.log_odds,
                "worst_task": s.worst_task, "worst": s.worst, "specialised": s.specialised, "general": s.general,
                "loo_low": s.loo_low, "loo_low_without": s.loo_low_without, "loo_high": s.loo_high,
                "loo_high_without": s.loo_high_without, "p": test.p, "p_holm": verdict.holm_p,
                "mean_accuracy": s.mean_accuracy, "clipped": " ".join(s.clipped),
            }
        )  # fmt: skip
    return rows


def task_records(found: TransferStatistics, arch: str, kind: str) -> list[Record]:
    """One row per sparse model and task: both accuracies and the relative error increase."""
    rows = []
    for verdict in verdicts_of(found, arch, kind):
        cells = effects(found.outcomes, verdict.score.model)
        for task, accuracy, dense, r in zip(
            cells.tasks, cells.first, cells.second, cells.on("relative_error"), strict=True
        ):
            rows.append(
                {"method": verdict.score.model.method, "sparsity": verdict.score.model.sparsity, "task": task,
                 "accuracy": accuracy, "dense": dense, "relative_error_increase": r}
            )  # fmt: skip
    return rows


def scale_records(found: TransferStatistics, arch: str, kind: str) -> list[Record]:
    """One row per sparse model: exact paired Wilcoxon p-values on the four scales."""
    return [
        {
            "method": verdict.score.model.method,
            "sparsity": verdict.score.model.sparsity,
            **{scale: test.p for scale, test in verdict.tests.items()},
        }
        for verdict in verdicts_of(found, arch, kind)
    ]


def duel_records(found: TransferStatistics, arch: str, kind: str) -> list[Record]:
    """One row per pair of methods at one sparsity."""
    return [
        {
            "sparsity": d.first.sparsity, "first": d.first.method, "second": d.second.method,
            "first_better_on": d.better, "tasks": d.n_tasks, "log_error_ratio": d.log_error_ratio,
            "log_odds": d.log_odds, "p": d.test.p, "p_holm": d.holm_p, "p_log_odds": d.log_odds_test.p,
        }
        for d in found.duels
        if (d.first.arch, d.first.kind) == (arch, kind)
    ]  # fmt: skip


def correlation_records(found: TransferStatistics, arch: str, kind: str) -> list[Record]:
    """One row per set of models that was left out."""
    return [
        {"without": c.without or "nothing", "models": c.n, "pearson": c.pearson, "spearman": c.spearman,
         "lowest_task": min(c.per_task.values()), "highest_task": max(c.per_task.values())}
        for c in found.correlations.get((arch, kind), ())
    ]  # fmt: skip


def best_records(found: TransferStatistics, arch: str) -> list[Record]:
    """One row per model and task where full fine-tuning is worse than the linear probe."""
    return [
        {"method": method, "sparsity": sparsity, "task": task, "linear": accuracy,
         "full": found.outcomes.mean(Model(arch, "full", method, sparsity), task)}
        for (method, sparsity), by_task in best_of_kinds(found.outcomes, arch).items()
        for task, (accuracy, kind) in by_task.items()
        if kind == "linear"
    ]  # fmt: skip


def statistics_records(found: TransferStatistics) -> dict[str, Any]:
    """Everything as JSON types; None where there is no number."""
    families = [
        {
            "arch": arch,
            "kind": kind,
            "scores": score_records(found, arch, kind),
            "by_task": task_records(found, arch, kind),
            "wilcoxon_p": scale_records(found, arch, kind),
            "methods": duel_records(found, arch, kind),
            "upstream": correlation_records(found, arch, kind),
        }
        for arch, kind in found.families
    ]
    worse = {arch: best_records(found, arch) for arch, _ in found.families}
    return _plain(
        {
            "families": families,
            "full_worse_than_linear": worse,
            "scale": found.scale,
            "missing": found.missing,
            "notes": found.outcomes.notes,
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def verdicts_of(found: TransferStatistics, arch: str, kind: str) -> list[Verdict]:
    """The verdicts on the models of one architecture and kind."""
    return [v for v in found.verdicts if (v.score.model.arch, v.score.model.kind) == (arch, kind)]
