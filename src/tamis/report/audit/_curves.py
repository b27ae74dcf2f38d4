"""Curves against the level of compression."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tamis.report._format import DASH
from tamis.report._svg import LIGHT, Chart, render_chart
from tamis.report._tables import Table
from tamis.report.audit._content import Audit, Condition
from tamis.report.audit._estimates import change_of, interval, interval_text, mean, measured, number, signed, span
from tamis.report.audit._text import LONGEST_IN_CHART, display

FIGURES = {
    "bias": ("What happened to bias", ("ba", "ba_max", "tcb", "cie_share")),
    "quality": (
        "What happened to the predictions",
        ("accuracy", "auc", "uncertainty", "very_uncertain", "ece", "interdependence", "predicted_positive"),
    ),
}
STYLES = (
    ("sparse", "s", "-"),
    ("ink", "^", (0, (4, 2))),
    ("muted", "D", (0, (1, 1.5))),
    ("sparse", "v", (0, (5, 1, 1, 1))),
)
AXES = {"sparsity": "sparsity", "bits": "bits per weight"}


def level_axes(audit: Audit) -> dict[str, list[float]]:
    """For each kind of level its values in the order of growing compression."""
    found: dict[str, list[float]] = {}
    for condition in audit.compressed:
        found.setdefault(condition.axis, []).append(condition.level)
    return {axis: sorted(set(levels), reverse=axis == "bits") for axis, levels in found.items()}


def curve_charts(audit: Audit) -> list[Chart]:
    """One chart a figure and kind of level; a metric that no condition has is left out."""
    charts = []
    for axis, levels in level_axes(audit).items():
        own = [condition for condition in audit.compressed if condition.axis == axis]
        for key, (title, metrics) in FIGURES.items():
            curves = [curve for name in metrics for curve in audit.values["curves"] if curve["metric"] == name]
            curves = [curve for curve in curves if any(math.isfinite(mean(point)) for point in curve["points"])]
            if curves:
                charts.append(_chart(audit, f"{key}-{axis}", title, curves, own, levels))
    return charts


def _chart(
    audit: Audit,
    key: str,
    title: str,
    curves: Sequence[Mapping[str, Any]],
    own: Sequence[Condition],
    levels: Sequence[float],
) -> Chart:
    series = list(dict.fromkeys(condition.series for condition in own))

    def draw(figure: Any, narrow: bool) -> None:
        columns = 1 if narrow else min(3, len(curves)) if len(curves) != 4 else 2
        rows = math.ceil(len(curves) / columns)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, curve in zip(panels, curves, strict=False):
            _panel(panel, audit, curve, own, series, levels)
        for panel in panels[len(curves) :]:
            panel.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper left", ncols=1 if narrow else 4, columnspacing=1.4)

    columns = min(3, len(curves)) if len(curves) != 4 else 2
    heights = (0.35 + 2.05 * math.ceil(len(curves) / columns), 0.4 + 2.0 * len(curves) + 0.2 * len(series))
    alt = f"{title} by {AXES.get(own[0].axis, own[0].axis)}. " + " ".join(
        _course(audit, curve, own) for curve in curves
    )
    caption = (
        "Means over seeds; bands are 95 % intervals, of the difference from the dense model where there is one; small "
        "dots are single seeds, the blue line is the dense model. Levels stand at equal steps."
    )
    return render_chart(key, title, alt, caption, heights, draw)


def _panel(
    panel: Any,
    audit: Audit,
    curve: Mapping[str, Any],
    own: Sequence[Condition],
    series: Sequence[str],
    levels: Sequence[float],
) -> None:
    points = {point["condition"]: point for point in curve["points"]}
    dense = points.get(audit.conditions[0].id)
    if math.isfinite(mean(dense)):
        panel.axhline(mean(dense), color=LIGHT["dense"], linewidth=1.6, label="dense")
        for seed in (dense or {})["seeds"]:
            panel.plot(
                [-0.35], [number(seed["value"])], marker="o", markersize=2.6, color=LIGHT["dense"], linestyle="none"
            )
    for name, (role, marker, line) in zip(series, STYLES * (1 + len(series) // len(STYLES)), strict=False):
        shown = [(levels.index(c.level), points[c.id]) for c in own if c.series == name and c.id in points]
        shown = [(place, point) for place, point in shown if math.isfinite(mean(point))]
        places = [place for place, _ in shown]
        panel.plot(
            places,
            [mean(point) for _, point in shown],
            color=LIGHT[role],
            marker=marker,
            markersize=4.2,
            linewidth=1.4,
            linestyle=line,
            label=display(name, LONGEST_IN_CHART),
        )
        ends = [(place, *_ends(point, dense)) for place, point in shown if math.isfinite(_ends(point, dense)[0])]
        if len(ends) > 1:
            panel.fill_between(*zip(*ends, strict=True), color=LIGHT[role], alpha=0.16, linewidth=0)
        elif ends:
            panel.vlines(ends[0][0], ends[0][1], ends[0][2], color=LIGHT[role], linewidth=1.4)
        for place, point in shown:
            values = [number(seed["value"]) for seed in point["seeds"]]
            panel.plot(
                [place] * len(values),
                values,
                marker=".",
                markersize=2.8,
                color=LIGHT["ink"],
                linestyle="none",
                zorder=3,
            )
    title = display(curve["title"], 2 * LONGEST_IN_CHART)
    labels = reference_of(audit, curve["metric"])
    if math.isfinite(labels):
        panel.axhline(labels, color=LIGHT["muted"], linewidth=1.2, linestyle=(0, (1, 2)))
        title += " (dotted: true labels)"
    panel.set_title(title)
    panel.set_xlim(-0.5, len(levels) - 0.6)
    panel.set_xticks(
        range(len(levels)), [f"{100 * level:.4g} %" if own[0].axis == "sparsity" else f"{level:g}" for level in levels]
    )
    panel.set_xlabel(AXES.get(own[0].axis, own[0].axis))
    panel.yaxis.set_major_formatter(lambda value, _: measured(curve["metric"], value).replace("\u00a0", " "))
    panel.locator_params(axis="y", nbins=5)


def reference_of(audit: Audit, metric: str) -> float:
    """This metric of the true labels, mean over attributes; NaN where the report has none."""
    rows = (audit.values.get("reference") or {}).get(metric, [])
    values = [number(row["value"]) for row in rows if math.isfinite(number(row["value"]))]
    return sum(values) / len(values) if values else math.nan


def _ends(point: Mapping[str, Any], dense: Mapping[str, Any] | None) -> tuple[float, float]:
    """The interval drawn around a point: its own, or that of its difference from dense."""
    low, high = interval(point)
    if math.isfinite(low):
        return low, high
    _, low, high = change_of(point, dense)
    return mean(dense) + low, mean(dense) + high


def _course(audit: Audit, curve: Mapping[str, Any], own: Sequence[Condition]) -> str:
    points = {point["condition"]: point for point in curve["points"]}
    parts = [f"{c.title} {measured(curve['metric'], mean(points.get(c.id)))}" for c in (audit.conditions[0], *own)]
    return f"{curve['title']}: {', '.join(parts)}."


def curves_table(audit: Audit) -> Table:
    """Every point of every curve."""
    rows = []
    for curve in audit.values["curves"]:
        dense = next((point for point in curve["points"] if point["condition"] == audit.conditions[0].id), None)
        for point in curve["points"]:
            value = partial(measured, curve["metric"])
            difference, low, high = change_of(point, dense)
            rows.append(
                (
                    curve["title"],
                    audit.title_of(point["condition"]),
                    value(mean(point)) if not point["reason"] else audit.reason(point["reason"]),
                    interval_text(point, value),
                    DASH if point is dense else signed(difference),
                    span(low, high) or DASH,
                    ", ".join(value(seed["value"]) for seed in point["seeds"]) or DASH,
                )
            )
        labels = reference_of(audit, curve["metric"])
        if math.isfinite(labels):
            rows.append((curve["title"], "true labels", measured(curve["metric"], labels), DASH, DASH, DASH, DASH))
    headings = ("Measure", "Models", "Mean", "Interval", "Minus dense", "Interval of the difference", "Single seeds")
    return Table(headings, (False, False, True, True, True, True, True), tuple(rows))
