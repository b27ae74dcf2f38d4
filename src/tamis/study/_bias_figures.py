"""The figures of a bias study: what changes with sparsity, and what asking the dense network repairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tamis.report import LIGHT
from tamis.study._bias_tables import Row, grouped, strongest
from tamis.study._figures import Figure

PANELS = {
    "accuracy": "Accuracy", "uncertainty": "Share of uncertain predictions", "tcb": "Threshold calibration bias",
    "ece": "Calibration error", "ba": "Bias amplification, mean of pairs", "ba_max": "Bias amplification, largest pair",
}  # fmt: skip
METHODS = {
    "gmp_ri": ("sparse", "o", "from random weights (GMP-RI)"),
    "gmp_pt": ("dense", "s", "after training (GMP-PT)"),
}
KINDS = {"override": ("sparse", "s", "where the dense network is unsure"),
         "cascade": ("dense", "o", "where the sparse network is unsure (cascade)")}  # fmt: skip


def bias_figures(networks: Sequence[Row], curves: Sequence[Row]) -> tuple[Figure, ...]:
    """The figures that the study has numbers for."""
    figures = []
    joint = [row for row in networks if row["setup"] == "joint" and row["method"] != "bits"]
    if any(row["method"] in METHODS for row in joint):
        figures.append(
            Figure("bias_sparsity", "What changes with sparsity",
                   "Small points are networks of one seed, lines their means; the dotted line is the dense mean.",
                   (6.6, 13.0), lambda figure, narrow: _levels(figure, narrow, joint))
        )  # fmt: skip
    if strongest(curves):
        figures.append(
            Figure("bias_asking", f"What asking the dense network repairs, {strongest(curves)}",
                   "From left to right the gate opens; the last point asks for everything.",
                   (3.6, 5.6), lambda figure, narrow: _asking(figure, narrow, curves))
        )  # fmt: skip
    return tuple(figures)


def figure_words(figure: Figure, networks: Sequence[Row]) -> str:
    """What a figure shows, in words, for those who do not see it."""
    parts = []
    for (method, level), rows in grouped(networks, "method", "requested").items():
        mine = [row for row in rows if row["setup"] == "joint"]
        if mine and method != "bits":
            mean = {name: _mean([row[name] for row in mine]) for name in ("accuracy", "uncertainty", "ba")}
            parts.append(
                f"{method} at {100 * level:g} %: accuracy {mean['accuracy']:.3f}, uncertain {mean['uncertainty']:.3f}, "
                f"bias amplification {mean['ba']:.3f}"
            )
    return f"{figure.title}, means over the seeds: {'; '.join(parts)}."


def _levels(figure: Any, narrow: bool, rows: Sequence[Row]) -> None:
    panels = list(figure.subplots(*((6, 1) if narrow else (2, 3)), squeeze=False).flat)
    levels = sorted({row["requested"] for row in rows if row["method"] in METHODS})
    for panel, (metric, title) in zip(panels, PANELS.items(), strict=True):
        dense = _mean([row[metric] for row in rows if row["method"] == "dense"])
        panel.axhline(dense, color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        for method, (role, marker, _) in METHODS.items():
            mine = grouped([row for row in rows if row["method"] == method], "requested")
            xs = sorted(level for (level,) in mine)
            for x in xs:
                values = [row[metric] for row in mine[x,] if math.isfinite(row[metric])]
                panel.plot([_place(x)] * len(values), values, marker, markersize=3, alpha=0.55, color=LIGHT[role],
                           markeredgewidth=0, zorder=2)  # fmt: skip
            means = [_mean([row[metric] for row in mine[x,]]) for x in xs]
            panel.plot([_place(x) for x in xs], means, color=LIGHT[role], linewidth=1.4, zorder=3)
        panel.set_title(title)
        panel.set_xticks([_place(level) for level in levels], [f"{100 * level:g} %" for level in levels])
    _legend(figure, [look for name, look in METHODS.items() if any(row["method"] == name for row in rows)], narrow)


def _asking(figure: Any, narrow: bool, curves: Sequence[Row]) -> None:
    condition = strongest(curves)
    mine = [r for r in curves if r["condition"] == condition and r["setup"] == "joint" and r["reference"] == "dense"]
    panels = list(figure.subplots(*((2, 1) if narrow else (1, 2)), squeeze=False).flat)
    for panel, (metric, title) in zip(
        panels, {"accuracy": "Accuracy", "ba": "Bias amplification"}.items(), strict=True
    ):
        for kind, (role, marker, _) in KINDS.items():
            points = [row for row in mine if row["kind"] == kind]
            panel.plot([row["fraction"] for row in points], [row[metric] for row in points], marker=marker,
                       markersize=4, color=LIGHT[role], linewidth=1.3)  # fmt: skip
        panel.set_title(title)
        panel.set_xlabel("Share of predictions asked for")
        panel.set_xlim(-0.03, 1.03)
    _legend(figure, list(KINDS.values()), narrow)


def _legend(figure: Any, looks: Sequence[tuple[str, str, str]], narrow: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=LIGHT[role], marker=marker, markersize=4, label=label) for role, marker, label in looks
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=1 if narrow else 2)


def _place(sparsity: float) -> float:
    """Logarithmic in the share of live weights."""
    return -math.log10(1 - sparsity)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
