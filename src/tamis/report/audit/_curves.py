"""Curves against the level of compression, and how bias amplification spreads over attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.report._svg import LIGHT, Chart, render_chart
from tamis.report._tables import Table
from tamis.report.audit._content import Audit, Condition
from tamis.report.audit._estimates import interval, mean, measured, number, span

FIGURES = {
    "bias": ("What happened to bias", ("ba", "ba_max", "tcb", "cie_share")),
    "quality": ("What happened to the predictions", ("accuracy", "auc", "uncertainty", "very_uncertain", "ece", "interdependence", "predicted_positive")),
}  # fmt: skip
STYLES = (("sparse", "s", "-"), ("ink", "^", (0, (4, 2))), ("muted", "D", (0, (1, 1.5))), ("sparse", "v", (0, (5, 1, 1, 1))))
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
    audit: Audit, key: str, title: str, curves: Sequence[Mapping[str, Any]], own: Sequence[Condition], levels: Sequence[float]
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
    alt = f"{title} by {AXES.get(own[0].axis, own[0].axis)}. " + " ".join(_course(audit, curve, own) for curve in curves)
    caption = (
        "Means over seeds with their 95 % intervals as bands; small dots are single seeds, the blue line is the dense model. Levels stand at "
        "equal steps."
    )
    return render_chart(key, title, alt, caption, heights, draw)


def _panel(
    panel: Any, audit: Audit, curve: Mapping[str, Any], own: Sequence[Condition], series: Sequence[str], levels: Sequence[float]
) -> None:
    points = {point["condition"]: point for point in curve["points"]}
    dense = points.get(audit.conditions[0].id)
    if math.isfinite(mean(dense)):
        panel.axhline(mean(dense), color=LIGHT["dense"], linewidth=1.6, label="dense")
        for seed in (dense or {})["seeds"]:
            panel.plot([-0.35], [number(seed["value"])], marker="o", markersize=2.6, color=LIGHT["dense"], linestyle="none")
    for name, (role, marker, line) in zip(series, STYLES * (1 + len(series) // len(STYLES)), strict=False):
        shown = [(levels.index(c.level), points[c.id]) for c in own if c.series == name and c.id in points]
        shown = [(place, point) for place, point in shown if math.isfinite(mean(point))]
        places = [place for place, _ in shown]
        panel.plot(
            places, [mean(point) for _, point in shown], color=LIGHT[role], marker=marker, markersize=4.2, linewidth=1.4, linestyle=line, label=name,
        )  # fmt: skip
        ends = [(place, *interval(point)) for place, point in shown if math.isfinite(interval(point)[0])]
        if len(ends) > 1:
            panel.fill_between(*zip(*ends, strict=True), color=LIGHT[role], alpha=0.16, linewidth=0)
        elif ends:
            panel.vlines(ends[0][0], ends[0][1], ends[0][2], color=LIGHT[role], linewidth=1.4)
        for place, point in shown:
            values = [number(seed["value"]) for seed in point["seeds"]]
            panel.plot([place] * len(values), values, marker=".", markersize=2.8, color=LIGHT["ink"], linestyle="none", zorder=3)
    panel.set_title(curve["title"])
    panel.set_xlim(-0.5, len(levels) - 0.6)
    panel.set_xticks(range(len(levels)), [f"{100 * level:.4g} %" if own[0].axis == "sparsity" else f"{level:g}" for level in levels])
    panel.set_xlabel(AXES.get(own[0].axis, own[0].axis))
    panel.yaxis.set_major_formatter(lambda value, _: measured(curve["metric"], value).replace("\u00a0", " "))
    panel.locator_params(axis="y", nbins=5)


def _course(audit: Audit, curve: Mapping[str, Any], own: Sequence[Condition]) -> str:
    points = {point["condition"]: point for point in curve["points"]}
    parts = [f"{c.title} {measured(curve['metric'], mean(points.get(c.id)))}" for c in (audit.conditions[0], *own)]
    return f"{curve['title']}: {', '.join(parts)}."


def curves_table(audit: Audit) -> Table:
    """Every point of every curve."""
    rows = [
        (
            curve["title"], audit.title_of(point["condition"]), measured(curve["metric"], mean(point)) if not point["reason"] else audit.reason(point["reason"]),
            span(*interval(point), text=lambda x, name=curve["metric"]: measured(name, x)) or "\u2013",
            ", ".join(measured(curve["metric"], seed["value"]) for seed in point["seeds"]) or "\u2013",
        )
        for curve in audit.values["curves"] for point in curve["points"]
    ]  # fmt: skip
    return Table(("Measure", "Models", "Mean", "Interval", "Single seeds"), (False, False, True, True, True), tuple(rows))


def spread_charts(audit: Audit) -> list[Chart]:
    """Boxes of bias amplification over attributes, one panel an identity, for each kind of level."""
    gone = {(pair["attribute"], pair["identity"]) for pair in audit.values["pairs"] if pair["reason"]}
    charts = []
    for axis, levels in level_axes(audit).items():
        own = [condition for condition in audit.compressed if condition.axis == axis]
        table = {
            identity: _values(audit, identity, own, gone) for identity in audit.identities if any(_values(audit, identity, own, gone)[0])
        }
        if table:
            charts.append(_spread(axis, levels, own, dict(list(table.items())[:6])))
    return charts


def _values(audit: Audit, identity: str, own: Sequence[Condition], gone: set[tuple[str, str]]) -> list[list[float]]:
    """Over the pairs defined everywhere: the dense means, then those of each condition."""
    pairs = [p for p in audit.values["pairs"] if p["identity"] == identity and (p["attribute"], identity) not in gone]
    of = lambda condition, side: [mean(p[side]) for p in pairs if p["condition"] == condition and math.isfinite(mean(p[side]))]  # noqa: E731
    return [of(own[0].id, "dense"), *(of(condition.id, "compressed") for condition in own)]


def _spread(axis: str, levels: Sequence[float], own: Sequence[Condition], table: Mapping[str, list[list[float]]]) -> Chart:
    names = ["dense", *(f"{100 * c.level:.4g} %" if axis == "sparsity" else f"{c.level:g}" for c in own)]

    def draw(figure: Any, narrow: bool) -> None:
        columns = 1 if narrow else min(2, len(table))
        panels = figure.subplots(math.ceil(len(table) / columns), columns, squeeze=False, sharey=True).ravel()
        for panel, (identity, values) in zip(panels, table.items(), strict=False):
            line = {"color": LIGHT["ink"], "linewidth": 0.9}
            boxes = panel.boxplot(
                values, tick_labels=names, whis=(0, 100), widths=0.55, patch_artist=True, medianprops={"color": LIGHT["ink"], "linewidth": 1.6},
                whiskerprops=line, capprops=line, boxprops={"linewidth": 0.9, "edgecolor": LIGHT["ink"]},
            )  # fmt: skip
            for index, box in enumerate(boxes["boxes"]):
                box.set_facecolor((LIGHT["dense"], 0.25) if index == 0 else LIGHT["shade"])
            for place, column in enumerate(values, 1):
                panel.plot([place] * len(column), column, marker=".", markersize=3, color=LIGHT["sparse"], linestyle="none", zorder=3)
            panel.axhline(0, color=LIGHT["muted"], linewidth=0.8)
            panel.set_title(identity)
            if len(names) > 7:
                panel.tick_params(axis="x", rotation=45)
        for panel in panels[len(table) :]:
            panel.set_axis_off()

    rows = math.ceil(len(table) / min(2, len(table)))
    parts = [
        f"{identity}: " + ", ".join(f"{name} {measured('ba', min(v))} to {measured('ba', max(v))}" for name, v in zip(names, values, strict=True) if v)
        for identity, values in table.items()
    ]
    alt = f"Smallest and largest bias amplification over attributes. {'; '.join(parts)}."
    caption = (
        "One box is all attributes that are defined in every condition: quartiles, median, whiskers to the ends; each dot an attribute. Above 0 "
        "the predictions lean further towards a group than the labels do."
    )
    title = "Bias amplification over attributes"
    return render_chart(f"spread-{axis}", title, alt, caption, (2.6 * rows, 2.3 * len(table)), draw)
