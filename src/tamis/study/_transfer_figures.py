"""Figures of a table of transfer results; each has a table of the numbers that it shows.

Bars of the score with both intervals, a heat map of the increase by task, upstream against downstream, and speed
against error where a table of speeds is given.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.bench import write_csv
from tamis.report import LIGHT, draw_svg, require_extra
from tamis.storage import write_atomic
from tamis.study._transfer_tables import Record, TransferStatistics, score_records, task_records
from tamis.transfer._upstream import finite_log_odds, known_models

# Okabe and Ito (2008): told apart with any colour vision; all are darker than the ground
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#3b3b98", "#56b4e9", "#444444")

# a score beyond this (100 %) makes its axis logarithmic beyond 10 %, so that it does not hide the others
FAR = 1.0


@dataclass(frozen=True)
class TransferFigure:
    """One figure: the name of its files, a title, its numbers, height in inches, and how it is drawn."""

    key: str
    title: str
    records: Sequence[Record]
    height: float
    draw: Callable[[Any, bool], None]


def transfer_figures(
    found: TransferStatistics, speeds: Mapping[Any, float] | None = None
) -> tuple[TransferFigure, ...]:
    """The figures that there are numbers for, by architecture and kind.

    ``speeds`` maps (arch, kind, method, sparsity) to the measured speed-up over dense: of extracting features for
    ``linear``, of a training step for ``full``.
    """
    figures = []
    for arch, kind in found.families:
        scores = score_records(found, arch, kind)
        if not scores:
            continue
        tag = f"{arch}_{kind}".replace(".", "_").replace("/", "_")
        tasks = task_records(found, arch, kind)
        figures.append(
            TransferFigure(
                f"score_{tag}", f"{arch} {kind}: relative error increase over dense", scores, 1.4 + 0.32 * len(scores),
                _drawing(_bars, scores),
            )
        )  # fmt: skip
        figures.append(
            TransferFigure(
                f"tasks_{tag}", f"{arch} {kind}: relative error increase by task", tasks, 1.8 + 0.32 * len(scores),
                _drawing(_heat, tasks),
            )
        )  # fmt: skip
        upstream = upstream_records(found, arch, kind)
        if len(upstream) > 2:
            figures.append(
                TransferFigure(f"upstream_{tag}", f"{arch} {kind}: upstream and downstream", upstream, 4.2,
                               _drawing(_scatter, upstream))
            )  # fmt: skip
        timed = speed_records(scores, arch, kind, speeds or {})
        if timed:
            figures.append(
                TransferFigure(f"speed_{tag}", f"{arch} {kind}: speed and error", timed, 4.2, _drawing(_speed, timed))
            )
    return tuple(figures)


def write_transfer_figures(
    found: TransferStatistics, folder: str | os.PathLike[str], speeds: Mapping[Any, float] | None = None
) -> tuple[Path, ...]:
    """Write ``KEY.svg`` and ``KEY.csv`` of every figure; returns the paths.

    Raises:
        UsageError: matplotlib is not installed (``tamis[report]``).
    """
    require_extra()
    home, written = Path(folder), []
    for figure in transfer_figures(found, speeds):
        svg = draw_svg("wide", figure.height, figure.key, figure.draw, LIGHT["panel"])
        written.append(write_atomic(home / f"{figure.key}.svg", svg))
        rows = [{k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in r.items()} for r in figure.records]
        written.append(write_csv(home / f"{figure.key}.csv", rows, {}, {"figure": figure.title}))
    return tuple(written)


def upstream_records(found: TransferStatistics, arch: str, kind: str) -> list[Record]:
    """One row per model with a known upstream accuracy: that, and the mean over tasks of the centred log-odds."""
    outcomes, known = found.outcomes, found.upstream[arch]
    tasks = outcomes.tasks(arch, kind)
    models = known_models(outcomes, known, arch, kind)

    odds = {(m, task): finite_log_odds(outcomes, m, task) for m in models for task in tasks}
    middle = {task: math.fsum(odds[m, task] for m in models) / max(len(models), 1) for task in tasks}
    return [
        {
            "method": m.method,
            "sparsity": m.sparsity,
            "upstream": known[m.method, m.sparsity],
            "log_odds": math.fsum(odds[m, task] - middle[task] for task in tasks) / len(tasks),
        }
        for m in models
    ]


def speed_records(scores: Sequence[Record], arch: str, kind: str, speeds: Mapping[Any, float]) -> list[Record]:
    """One row per model with a measured speed; ``pareto`` where no other is both faster and better."""
    timed = [
        {"method": s["method"], "sparsity": s["sparsity"], "speed_up": speeds[arch, kind, s["method"], s["sparsity"]],
         "mean": s["mean"], **{key: s[key] for key in ("both_low", "both_high", "t_low", "t_high")}}
        for s in scores
        if (arch, kind, s["method"], s["sparsity"]) in speeds
    ]  # fmt: skip
    for row in timed:
        row["pareto"] = not any(
            other["speed_up"] >= row["speed_up"] and other["mean"] <= row["mean"] and other is not row
            for other in timed
        )
    return timed


def _drawing(draw: Callable[[Any, Sequence[Record]], None], records: Sequence[Record]) -> Callable[[Any, bool], None]:
    return lambda figure, narrow: draw(figure.subplots(), records)


def _colours(records: Sequence[Record]) -> dict[str, str]:
    methods = dict.fromkeys(record["method"] for record in records)
    return {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}


def _bars(panel: Any, records: Sequence[Record]) -> None:
    colours, thin = _colours(records), _interval_over_tasks(records)
    for place, record in enumerate(reversed(records)):
        colour = colours[record["method"]]
        panel.barh(place, 100 * record["mean"], height=0.62, color=colour, alpha=0.35)
        for name, width in ((thin, 1.2), ("seeds", 4.0)):
            low, high = 100 * record[f"{name}_low"], 100 * record[f"{name}_high"]
            if not math.isnan(low):
                panel.plot([low, high], [place, place], color=colour, linewidth=width, solid_capstyle="butt")
    panel.axvline(0, color=LIGHT["ink"], linewidth=0.9)
    if max(abs(record["mean"]) for record in records) > FAR:
        panel.set_xscale("symlog", linthresh=10)
    panel.set_yticks(range(len(records)), [_name(record) for record in reversed(records)])
    words = {"both": "Thick: new seeds; thin: new tasks and seeds", "t": "Lines: other tasks, Student's t"}
    panel.set_xlabel(f"Relative error increase over dense, % (left is better).  {words[thin]}")
    panel.grid(axis="x", color=LIGHT["grid"], linewidth=0.6)
    panel.set_axisbelow(True)


def _interval_over_tasks(records: Sequence[Record]) -> str:
    """``both``, new tasks and seeds, or ``t`` where a single seed leaves only the spread over tasks."""
    return "t" if all(math.isnan(record["both_low"]) for record in records) else "both"


def _heat(panel: Any, records: Sequence[Record]) -> None:
    models = list(dict.fromkeys(_name(record) for record in records))
    tasks = list(dict.fromkeys(record["task"] for record in records))
    values = {(_name(record), record["task"]): 100 * record["relative_error_increase"] for record in records}
    # a few extreme cells must not make all the others pale
    limit = max(1.0, sorted(map(abs, values.values()))[int(0.9 * (len(values) - 1))])
    grid = [[values[model, task] for task in tasks] for model in models]
    panel.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for y, line in enumerate(grid):
        for x, value in enumerate(line):
            ink = "white" if abs(value) > 0.65 * limit else LIGHT["ink"]
            panel.text(x, y, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=7.5)
    panel.set_yticks(range(len(models)), models)
    panel.set_xticks(range(len(tasks)), tasks, rotation=30, ha="right")
    panel.set_xlabel("Relative error increase over dense, %; blue is better than dense")


def _scatter(panel: Any, records: Sequence[Record]) -> None:
    colours = _colours(records)
    for record in records:
        x, y = record["upstream"], record["log_odds"]
        panel.plot(x, y, "o", color=colours[record["method"]])
        _label(panel, record, x, y)
    panel.set_xlabel("Accuracy upstream")
    panel.set_ylabel("Mean over tasks of log-odds, centred per task")
    panel.grid(color=LIGHT["grid"], linewidth=0.6)
    panel.margins(0.12)


def _speed(panel: Any, records: Sequence[Record]) -> None:
    colours, over = _colours(records), _interval_over_tasks(records)
    for record in records:
        x, y, colour = record["speed_up"], 100 * record["mean"], colours[record["method"]]
        low, high = 100 * record[f"{over}_low"], 100 * record[f"{over}_high"]
        if not math.isnan(low):
            panel.plot([x, x], [low, high], color=colour, linewidth=1)
        inside = colour if record["pareto"] else LIGHT["panel"]
        panel.plot(x, y, "o", color=colour, markersize=7, markerfacecolor=inside)
        _label(panel, record, x, y)
    panel.axhline(0, color=LIGHT["ink"], linewidth=0.9)
    if max(abs(record["mean"]) for record in records) > FAR:
        panel.set_yscale("symlog", linthresh=10)
    panel.set_xlabel("Speed-up over dense, measured in one run.  Filled: no other is both faster and better")
    panel.set_ylabel("Relative error increase, %")
    panel.grid(color=LIGHT["grid"], linewidth=0.6)
    panel.margins(0.12)


def _label(panel: Any, record: Mapping[str, Any], x: float, y: float) -> None:
    panel.annotate(_name(record), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=7.5, color=LIGHT["muted"])


def _name(record: Mapping[str, Any]) -> str:
    return record["method"] if not record["sparsity"] else f"{record['method']} {100 * record['sparsity']:g} %"
