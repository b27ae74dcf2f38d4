"""The three figures of a study: accuracy against sparsity, against training FLOPs and against measured CPU time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.report import LIGHT
from tamis.study._axes import accuracy_axis, cost_span, dense_line, shown
from tamis.study._families import FAMILIES, Look, looks_of
from tamis.study._labels import beside, spread
from tamis.study._statistics import Estimate
from tamis.study._summary import Group, Summary

AXES = {"wide": 660.0, "narrow": 205.0}  # points from the left to the right end of the axes, roughly
LETTER, LINE = 0.56, 1.28  # mean width of a letter and height of a line, in font sizes


@dataclass(frozen=True)
class Figure:
    """One figure: its key (also the file's name), words, heights in inches (wide, narrow) and how it is drawn."""

    key: str
    title: str
    caption: str
    heights: tuple[float, float]
    draw: Callable[[Any, bool], None]


@dataclass(frozen=True)
class Cost:
    """What the x axis of a scatter means: its words, and its value for a group."""

    label: str
    value: Callable[[Group], Estimate]


FLOPS = Cost("Training FLOPs over those of dense training (weights that may live)", lambda group: group.train_flops)
CPU = Cost("CPU time of all training steps, s", lambda group: group.train_cpu_s)


def figures_of(summary: Summary) -> tuple[Figure, ...]:
    """The figures that the study has numbers for."""
    if not any(group.accuracy.n for group in summary.groups.values()):
        return ()
    panels = len(summary.sparsities)
    heights = (3.6 * math.ceil(panels / 2) + 0.7, 2.9 * panels + 0.9)
    cut = "Bars are 95 % intervals over the seeds, cut at the frame; a point without bars is one seed."
    return (
        Figure("accuracy_sparsity", "Accuracy against sparsity", f"Points are set apart sideways. {cut}", (6.0, 6.4),
               lambda figure, narrow: _lines(figure, narrow, summary)),
        Figure("accuracy_flops", "Accuracy against training FLOPs", cut, heights,
               lambda figure, narrow: _scatter(figure, narrow, summary, FLOPS)),
        Figure("accuracy_cpu", "Accuracy against CPU time of the training", cut, heights,
               lambda figure, narrow: _scatter(figure, narrow, summary, CPU)),
    )  # fmt: skip


def text_alternative(summary: Summary, figure: Figure) -> str:
    """What a figure shows, in words: at each sparsity the methods from best to worst."""
    parts = []
    for sparsity in summary.sparsities:
        found = [group for (_, s), group in summary.groups.items() if s == sparsity and group.accuracy.n]
        found.sort(key=lambda group: -group.accuracy.mean)
        words = ", ".join(f"{group.method} {100 * group.accuracy.mean:.2f} %" for group in found)
        parts.append(f"at {100 * sparsity:g} % sparsity {words or 'nothing finished'}")
    dense = summary.dense
    tail = f"; dense {100 * dense.accuracy.mean:.2f} %" if dense is not None and dense.accuracy.n else ""
    return f"{figure.title}, means over the seeds: {'; '.join(parts)}{tail}."


def _lines(figure: Any, narrow: bool, summary: Summary) -> None:
    panel = figure.subplots()
    looks = looks_of(summary.methods)
    places = {sparsity: -math.log10(1 - sparsity) for sparsity in summary.sparsities}
    steps = [b - a for a, b in zip(list(places.values())[:-1], list(places.values())[1:], strict=True)]
    step = min(steps, default=0.3)
    accuracy_axis(panel, summary, list(summary.groups.values()))
    ends: list[tuple[str, float, float]] = []
    for rank, method in enumerate(summary.methods):
        shift = step * 0.36 * ((rank + 0.5) / len(summary.methods) - 0.5)
        groups = [summary.groups[method, s] for s in summary.sparsities if summary.groups[method, s].accuracy.n]
        xs = [places[group.sparsity] + shift for group in groups]
        for x, group in zip(xs, groups, strict=True):
            _point(panel, looks[method], x, Estimate(1, x, math.nan), group.accuracy, summary, narrow)
        look = looks[method]
        means = [shown(group.accuracy.mean, summary) for group in groups]
        panel.plot(xs, means, color=look.colour, linestyle=look.dashes, linewidth=1.3, zorder=2)
        if groups:
            ends.append((method, xs[-1], means[-1]))
    dense_line(panel, summary, places[summary.sparsities[0]] - 0.45 * step)
    size = panel.xaxis.label.get_fontsize()
    names = (16 + max(map(len, summary.methods)) * LETTER * size) / (AXES["narrow" if narrow else "wide"])
    left, right = min(places.values()) - 0.5 * step, max(places.values()) + 0.3 * step
    panel.set_xlim(left, right + (right - left) * names / (1 - names))
    panel.set_xticks(list(places.values()), [f"{100 * s:g} %" for s in places])
    panel.set_xlabel("Sparsity" if narrow else "Sparsity (logarithmic in the share of live weights)")
    _family_legend(figure, looks, narrow)
    figure.draw_without_rendering()
    _column(panel, ends, looks, right, size)


def _column(
    panel: Any, ends: Sequence[tuple[str, float, float]], looks: Mapping[str, Look], left: float, size: float
) -> None:
    """Names in a column right of the data, in the order of the line ends, with a thin line to each."""
    points = [panel.transData.transform((x, y)) for _, x, y in ends]
    frame = panel.get_window_extent()
    scale = panel.get_figure().dpi / 72
    gap = LINE * size * scale
    heights = spread([y for _, y in points], gap, frame.y0 + gap / 2, frame.y1 - gap / 2)
    column = panel.transData.transform((left, 0.5))[0] + 10 * scale
    back = panel.transData.inverted()
    for (method, x, y), height in zip(ends, heights, strict=True):
        target = back.transform((column, height))
        panel.plot([x, target[0]], [y, target[1]], color=looks[method].colour, linewidth=0.6, alpha=0.75, zorder=1)
        panel.annotate(
            method, (target[0], target[1]), xytext=(2, 0), textcoords="offset points", va="center", fontsize=size,
            color=LIGHT["ink"], in_layout=False,
        )  # fmt: skip


def _scatter(figure: Any, narrow: bool, summary: Summary, cost: Cost) -> None:
    columns = 1 if narrow else min(2, len(summary.sparsities))
    rows = math.ceil(len(summary.sparsities) / columns)
    panels = list(figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
    looks = looks_of(summary.methods)
    dense = [summary.dense] if summary.dense is not None and summary.dense.accuracy.n else []
    every = [group for group in (*dense, *summary.groups.values()) if group.accuracy.n]
    cost_span(panels[0], [cost.value(group) for group in every])
    shown: list[tuple[Any, list[Group]]] = []
    for panel, sparsity in zip(panels, summary.sparsities, strict=False):
        groups = [g for (_, s), g in summary.groups.items() if s == sparsity and g.accuracy.n]
        accuracy_axis(panel, summary, groups)
        dense_line(panel, summary, None)
        for group in (*dense, *groups):
            look = looks.get(group.method) or looks_of([group.method])[group.method]
            _point(panel, look, cost.value(group).mean, cost.value(group), group.accuracy, summary, narrow)
        panel.set_title(f"{100 * sparsity:g} % sparsity")
        shown.append((panel, [*dense, *groups]))
    for panel in panels[len(summary.sparsities) :]:
        panel.set_axis_off()
    figure.supxlabel(cost.label, fontsize=panels[0].xaxis.label.get_fontsize(), color=LIGHT["muted"])
    _family_legend(figure, looks, narrow)
    figure.draw_without_rendering()
    for panel, groups in shown:
        _names(panel, groups, cost, summary, looks)


def _names(panel: Any, groups: Sequence[Group], cost: Cost, summary: Summary, looks: Mapping[str, Look]) -> None:
    """A name beside each point; where it had to go far, a thin line leads to it."""
    size = panel.xaxis.label.get_fontsize() * 0.94
    scale = panel.get_figure().dpi / 72
    data = [(cost.value(group).mean, shown(group.accuracy.mean, summary)) for group in groups]
    points = [tuple(panel.transData.transform(point)) for point in data]
    sizes = [(len(group.method) * LETTER * size * scale, LINE * 0.86 * size * scale) for group in groups]
    frame = panel.get_window_extent()
    lines = []
    if summary.dense is not None and summary.dense.accuracy.n:
        y = panel.transData.transform((0, shown(summary.dense.accuracy.mean, summary)))[1]
        lines.append((frame.x0, y - 0.5 * scale, frame.x1, y + 0.5 * scale))
    for group, (_, y) in zip(groups, points, strict=True):
        across = cost.value(group)
        if math.isfinite(across.half):
            ends = [panel.transData.transform((x, 0.5))[0] for x in (across.low, across.high)]
            lines.append((ends[0], y - 0.5 * scale, ends[1], y + 0.5 * scale))
    boxes = beside(points, sizes, (frame.x0, frame.y0, frame.x1, frame.y1), 7 * scale, lines)
    back = panel.transData.inverted()
    for group, point, (x0, y0, x1, y1) in zip(groups, data, boxes, strict=True):
        middle = back.transform(((x0 + x1) / 2, (y0 + y1) / 2))
        here = panel.transData.transform(point)
        near = (min(max(here[0], x0), x1), min(max(here[1], y0), y1))
        if math.dist(near, here) > 13 * scale:
            end = back.transform(near)
            colour = looks[group.method].colour if group.method in looks else LIGHT["muted"]
            panel.plot([point[0], end[0]], [point[1], end[1]], color=colour, linewidth=0.6, alpha=0.75, zorder=1)
        panel.annotate(
            group.method, middle, ha="center", va="center", fontsize=size, color=LIGHT["ink"], in_layout=False,
            zorder=2.5, bbox={"facecolor": LIGHT["panel"], "alpha": 0.7, "linewidth": 0, "pad": 0.4},
        )  # fmt: skip


def _point(panel: Any, look: Look, x: float, across: Estimate, up: Estimate, summary: Summary, narrow: bool) -> None:
    y = shown(up.mean, summary)
    style = {"color": look.colour, "linewidth": 0.9, "alpha": 0.6, "zorder": 2, "solid_capstyle": "butt"}
    if math.isfinite(up.half):
        panel.plot([x, x], [shown(up.low, summary), shown(up.high, summary)], **style)
    if math.isfinite(across.half):
        panel.plot([across.low, across.high], [y, y], **style)
    panel.plot(
        [x], [y], marker=look.marker, markersize=4.2 if narrow else 5.4, color=look.colour,
        markeredgecolor=LIGHT["panel"], markeredgewidth=0.5, zorder=3,
    )  # fmt: skip


def _family_legend(figure: Any, looks: Mapping[str, Look], narrow: bool) -> None:
    from matplotlib.lines import Line2D

    present = [family for family in FAMILIES if any(look.family == family for look in looks.values())]
    handles = [Line2D([], [], color=FAMILIES[family][0], linewidth=3, label=family) for family in present]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=3 if narrow else len(present), columnspacing=1.3,
        handletextpad=0.5, handlelength=1.0,
    )  # fmt: skip
