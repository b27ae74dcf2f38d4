"""How bias amplification spreads over attributes: boxes by level, one panel an identity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.report._svg import LIGHT, Chart, render_chart
from tamis.report.audit._content import Audit, Condition
from tamis.report.audit._curves import level_axes
from tamis.report.audit._estimates import mean, measured
from tamis.report.audit._text import LONGEST_IN_CHART, LONGEST_TICK, display

MOST_PANELS = 6


def spread_charts(audit: Audit) -> list[Chart]:
    """Boxes of bias amplification over attributes, one panel an identity, for each kind of level."""
    gone = {(pair["attribute"], pair["identity"]) for pair in audit.values["pairs"] if pair["reason"]}
    charts = []
    for axis in level_axes(audit):
        own = [condition for condition in audit.compressed if condition.axis == axis]
        table = {identity: _values(audit, identity, own, gone) for identity in audit.identities}
        table = {identity: columns for identity, columns in table.items() if all(columns)}
        if table:
            charts.append(_spread(axis, own, table))
    return charts


def _values(audit: Audit, identity: str, own: Sequence[Condition], gone: set[tuple[str, str]]) -> list[list[float]]:
    """Over the pairs defined everywhere: the dense means, then those of each condition."""
    pairs = [p for p in audit.values["pairs"] if p["identity"] == identity and (p["attribute"], identity) not in gone]

    def values(condition: str, side: str) -> list[float]:
        found = [mean(pair[side]) for pair in pairs if pair["condition"] == condition]
        return [value for value in found if math.isfinite(value)]

    return [values(own[0].id, "dense"), *(values(condition.id, "compressed") for condition in own)]


def _spread(axis: str, own: Sequence[Condition], every: Mapping[str, list[list[float]]]) -> Chart:
    table = dict(list(every.items())[:MOST_PANELS])
    short = [f"{100 * c.level:.4g} %" if axis == "sparsity" else f"{c.level:g}" for c in own]
    alone = len({condition.series for condition in own}) == 1
    names = ["dense", *(short if alone else [display(condition.title, LONGEST_TICK) for condition in own])]

    def draw(figure: Any, narrow: bool) -> None:
        columns = 1 if narrow else min(2, len(table))
        panels = figure.subplots(math.ceil(len(table) / columns), columns, squeeze=False, sharey=True).ravel()
        for panel, (identity, values) in zip(panels, table.items(), strict=False):
            line = {"color": LIGHT["ink"], "linewidth": 0.9}
            boxes = panel.boxplot(
                values,
                tick_labels=names,
                whis=(0, 100),
                widths=0.55,
                patch_artist=True,
                medianprops={"color": LIGHT["ink"], "linewidth": 1.6},
                whiskerprops=line,
                capprops=line,
                boxprops={"linewidth": 0.9, "edgecolor": LIGHT["ink"]},
            )
            for index, box in enumerate(boxes["boxes"]):
                box.set_facecolor((LIGHT["dense"], 0.25) if index == 0 else LIGHT["shade"])
            for place, column in enumerate(values, 1):
                panel.plot(
                    [place] * len(column),
                    column,
                    marker=".",
                    markersize=3,
                    color=LIGHT["sparse"],
                    linestyle="none",
                    zorder=3,
                )
            panel.axhline(0, color=LIGHT["muted"], linewidth=0.8)
            panel.set_title(display(identity, LONGEST_IN_CHART))
            if len(names) > 7 or not alone:
                panel.tick_params(axis="x", rotation=45)
        for panel in panels[len(table) :]:
            panel.set_axis_off()

    rows = math.ceil(len(table) / min(2, len(table)))
    parts = [
        f"{identity}: "
        + ", ".join(
            f"{name} {measured('ba', min(v))} to {measured('ba', max(v))}"
            for name, v in zip(names, values, strict=True)
            if v
        )
        for identity, values in table.items()
    ]
    alt = f"Smallest and largest bias amplification over attributes. {'; '.join(parts)}."
    caption = (
        "One box is all attributes that are defined in every condition: quartiles, median, whiskers to the ends; each "
        "dot an attribute. Above 0 the predictions lean further towards a group than the labels do."
    )
    if len(every) > len(table):
        caption += f" {len(every) - len(table)} more identities are in the heat map."
    title = "Bias amplification over attributes"
    return render_chart(f"spread-{axis}", title, alt, caption, (2.6 * rows, 2.3 * len(table)), draw)
