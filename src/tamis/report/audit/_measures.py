"""What repairs it: calibrated thresholds, and asking a reference where a model is unsure, as trade-off curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.report._svg import LIGHT, Chart, render_chart
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import fixed, interval, mean, measured, span

MOST_CHARTS = 3
PANELS = (("accuracy", "Accuracy"), ("ba", "Bias amplification, mean"), ("tcb", "Threshold calibration bias"))
STYLES = {
    ("override", "dense"): ("override, dense answers", "dense", "o", "-"),
    ("override", "human"): ("override, a person answers (bound)", "ink", "^", (0, (4, 2))),
    ("cascade", "dense"): ("cascade", "sparse", "s", "-"),
}
MODES = {
    "zero": "threshold 0",
    "calibrated": "calibrated on validation",
    "published": "calibrated as the paper's code does",
}


@dataclass(frozen=True)
class Measures:
    """Charts of the trade-off, the last condition's first, and all numbers as tables."""

    charts: tuple[Chart, ...]
    left_out: int
    calibration: Table | None
    points: Table | None


def measures_of(audit: Audit) -> Measures:
    """The section on countermeasures."""
    values = audit.values["countermeasures"]
    charts: list[Chart] = []
    for place, condition in enumerate(reversed(audit.compressed)):
        curves = [(kind, c) for kind in ("override", "cascade") for c in values[kind] if c["condition"] == condition.id]
        if curves and len(charts) < MOST_CHARTS:
            charts.append(_chart(f"measures-{place}", condition.title, curves))
    wanted = len({c["condition"] for kind in ("override", "cascade") for c in values[kind]})
    return Measures(
        tuple(charts), wanted - len(charts), _calibration(audit, values["calibration"]), _points(audit, values)
    )


def _chart(key: str, title: str, curves: Sequence[tuple[str, Mapping[str, Any]]]) -> Chart:
    def draw(figure: Any, narrow: bool) -> None:
        panels = figure.subplots(3, 1) if narrow else figure.subplots(1, 3)
        for panel, (metric, name) in zip(panels, PANELS, strict=True):
            for kind, curve in curves:
                label, role, marker, line = _style(kind, curve)
                points = [
                    p for p in curve["points"] if math.isfinite(mean(p["fraction"])) and math.isfinite(mean(p[metric]))
                ]
                points.sort(key=lambda point: mean(point["fraction"]))
                places = [mean(p["fraction"]) for p in points]
                panel.plot(
                    places,
                    [mean(p[metric]) for p in points],
                    color=LIGHT[role],
                    marker=marker,
                    markersize=3.6,
                    linewidth=1.3,
                    linestyle=line,
                    label=label,
                )
                ends = [
                    (place, *interval(p[metric]))
                    for place, p in zip(places, points, strict=True)
                    if math.isfinite(interval(p[metric])[0])
                ]
                if len(ends) > 1:
                    panel.fill_between(*zip(*ends, strict=True), color=LIGHT[role], alpha=0.13, linewidth=0)
            panel.set_title(name)
            panel.set_xlim(-0.02, 1.02)
            panel.set_xlabel("share of samples asked about")
            panel.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
            panel.yaxis.set_major_formatter(lambda value, _, name=metric: measured(name, value).replace("\u00a0", " "))
            panel.locator_params(nbins=5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper left", ncols=1 if narrow else 3, columnspacing=1.2, handletextpad=0.5
        )

    alt = f"Trade-off of {title}. " + " ".join(_course(kind, curve) for kind, curve in curves)
    caption = "From left (nothing asked: the compressed model) to right (everything asked: the reference)."
    return render_chart(key, f"Trade-off, {title}", alt, caption, (2.9, 7.0), draw)


def _style(kind: str, curve: Mapping[str, Any]) -> tuple[str, str, str, Any]:
    return STYLES.get((kind, curve["reference"]), (f"{kind}, {curve['reference']}", "muted", "D", (0, (1, 1.5))))


def _course(kind: str, curve: Mapping[str, Any]) -> str:
    parts = [
        f"{measured('fraction', mean(p['fraction']))} asked: accuracy {measured('accuracy', mean(p['accuracy']))}, "
        f"bias amplification {fixed(mean(p['ba']))}"
        for p in curve["points"]
    ]
    return f"{_style(kind, curve)[0]}: {'; '.join(parts)}."


def _points(audit: Audit, values: Mapping[str, Any]) -> Table | None:
    rows = [
        (
            audit.title_of(curve["condition"]),
            _style(kind, curve)[0],
            fixed(point["half_width"], 2),
            measured("fraction", mean(point["fraction"])),
            *(_with_interval(audit, metric, point[metric]) for metric, _ in PANELS),
        )
        for kind in ("override", "cascade")
        for curve in values[kind]
        for point in curve["points"]
    ]
    headings = ("Models", "Who answers", "Half-width h", "Asked about", *(name for _, name in PANELS))
    return Table(headings, (False, False, True, True, True, True, True), tuple(rows)) if rows else None


def _calibration(audit: Audit, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    place = {condition.id: index for index, condition in enumerate(audit.conditions)}
    table = tuple(
        (
            audit.title_of(row["condition"]),
            MODES.get(row["mode"], row["mode"]),
            *(_with_interval(audit, metric, row[metric]) for metric in ("accuracy", "tcb", "ba", "ba_max")),
        )
        for row in sorted(rows, key=lambda row: place.get(row["condition"], -1))
    )
    headings = (
        "Models",
        "Thresholds",
        "Accuracy",
        "Threshold calibration bias",
        "Bias amplification, mean",
        "Worst pair",
    )
    return Table(headings, (False, False, True, True, True, True), table) if table else None


def _with_interval(audit: Audit, metric: str, estimate: Mapping[str, Any]) -> str:
    if estimate["reason"]:
        return audit.reason(estimate["reason"])
    ends = span(*interval(estimate), text=lambda x: measured(metric, x))
    return measured(metric, mean(estimate)) + (f" ({ends})" if ends else "")
