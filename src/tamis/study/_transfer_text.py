"""What a table of transfer results says, as text for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.bench import render_table
from tamis.study._tables import DASH
from tamis.study._transfer_tables import (
    Record,
    TransferStatistics,
    best_records,
    correlation_records,
    duel_records,
    scale_records,
    score_records,
    verdicts_of,
)
from tamis.transfer._intervals import Interval


def statistics_text(found: TransferStatistics) -> str:
    """The whole report for people."""
    parts = []
    for arch, kind in found.families:
        scores = score_records(found, arch, kind)
        if not scores:
            continue
        parts += [_scores_text(found, arch, kind), _tests_text(found, arch, kind)]
        if pairs := duel_records(found, arch, kind):
            parts.append(_duels_text(pairs, arch, kind))
        if lines := correlation_records(found, arch, kind):
            parts.append(
                f"{arch} {kind}: upstream accuracy and log-odds downstream; a few models may carry such a number\n"
                + render_table([{k: _number(v) for k, v in line.items()} for line in lines])
            )
    for arch in dict.fromkeys(arch for arch, _ in found.families):
        if worse := best_records(found, arch):
            shown = [
                {"model": _model(r), "task": r["task"], "linear": _percent(r["linear"]), "full": _percent(r["full"])}
                for r in worse
            ]
            parts.append(
                f"{arch}: where full fine-tuning is worse than the linear probe, accuracy in %\n{render_table(shown)}"
            )
    parts += [f"note: {note}" for note in found.outcomes.notes]
    if found.missing:
        parts.append("missing, so their models are left out:\n" + "\n".join(f"  {name}" for name in found.missing))
    return "\n\n".join(parts) or "nothing to compare: no sparse model has all its cells"


def _scores_text(found: TransferStatistics, arch: str, kind: str) -> str:
    verdicts_here = verdicts_of(found, arch, kind)
    rows = []
    for record, verdict in zip(score_records(found, arch, kind), verdicts_here, strict=True):
        rows.append(
            {
                "model": _model(record),
                "mean ± SE": f"{_percent(record['mean'])} ± {_percent(record['se'])}",
                "[new seeds]": _interval(verdict.seeds),
                "[new tasks and seeds]": _interval(verdict.both),
                "[t, new tasks]": f"[{_percent(record['t_low'])}, {_percent(record['t_high'])}]",
                "median": _percent(record["median"]),
                "geo": _percent(record["geometric"]),
                "wins": f"{record['wins']}/{record['tasks']}",
                "log-odds": _signed(record["log_odds"]),
                "worst task": f"{record['worst_task']} {_percent(record['worst'])}",
                "without one task": f"{_percent(record['loo_low'])} to {_percent(record['loo_high'])}",
                "p": f"{record['p']:.2g}",
                "p Holm": f"{record['p_holm']:.2g}",
            }
        )
    single = {v.seeds.unavailable for v in verdicts_here if v.seeds.unavailable}
    note = f"\n{DASH} : not available ({'; '.join(sorted(single))})" if single else ""
    return (
        f"{arch} {kind}: relative error increase over dense in %, negative is better than dense; p: paired Wilcoxon "
        f"over tasks, {found.scale}\n{render_table(rows)}{note}"
    )


def _tests_text(found: TransferStatistics, arch: str, kind: str) -> str:
    rows = [
        {"model": _model(r), **{k: f"{v:.2g}" for k, v in r.items() if k not in ("method", "sparsity")}}
        for r in scale_records(found, arch, kind)
    ]
    exact = all(test.exact for verdict in verdicts_of(found, arch, kind) for test in verdict.tests.values())
    how = "exact" if exact else "normal approximation of the"
    return f"{arch} {kind}: {how} paired Wilcoxon p by scale; the verdict may depend on it\n{render_table(rows)}"


def _duels_text(pairs: Sequence[Record], arch: str, kind: str) -> str:
    rows = [
        {
            "sparsity": f"{100 * p['sparsity']:g} %",
            "first": p["first"],
            "second": p["second"],
            "first better on": f"{p['first_better_on']}/{p['tasks']}",
            "log error ratio": _signed(p["log_error_ratio"]),
            "p": f"{p['p']:.2g}",
            "p Holm": f"{p['p_holm']:.2g}",
        }
        for p in pairs
    ]
    return f"{arch} {kind}: method against method, paired by task\n{render_table(rows)}"


def _signed(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:+.3f}"


def _model(record: Mapping[str, Any]) -> str:
    return f"{record['method']} {100 * record['sparsity']:g} %" if record["sparsity"] else str(record["method"])


def _interval(interval: Interval) -> str:
    return DASH if interval.unavailable else f"[{_percent(interval.low)}, {_percent(interval.high)}]"


def _percent(value: float) -> str:
    return DASH if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return DASH if math.isnan(value) else f"{value:.2f}"
    return str(value)
