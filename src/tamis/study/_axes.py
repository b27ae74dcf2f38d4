"""The axes of a study's figures; that of the accuracy is logarithmic in the error.

So 99.0 and 99.5 % are as far apart as 90 and 95 %, and a method that collapsed does not hide the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tamis.report import LIGHT
from tamis.study._statistics import Estimate
from tamis.study._summary import Group, Summary

TICKS = (
    0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998,
    0.999, 0.9995, 0.9999,
)  # fmt: skip


def least_error(summary: Summary) -> float:
    """The smallest error that is drawn: half a held-out image."""
    return 0.5 / max(summary.held_out, 1)


def shown(accuracy: float, summary: Summary) -> float:
    """An accuracy, or the end of an interval, kept within what the axis can show."""
    return min(max(accuracy, 0.0), 1 - least_error(summary))


def accuracy_axis(panel: Any, summary: Summary, groups: Sequence[Group]) -> None:
    """Make the y axis of ``panel`` fit the means of ``groups`` and of the dense baseline."""
    import numpy as np

    least = least_error(summary)
    means = [shown(g.accuracy.mean, summary) for g in (*groups, summary.dense) if g is not None and g.accuracy.n]
    panel.set_yscale(
        "function",
        functions=(
            lambda accuracy: -np.log10(np.maximum(1 - np.asarray(accuracy), least / 4)),
            lambda y: 1 - 10 ** -np.asarray(y),
        ),
    )
    worst, best = 1 - min(means, default=0.0), 1 - max(means, default=0.0)
    pad = 0.14 * max(math.log10(worst / best), 0.25) + 0.04
    panel.set_ylim(max(1 - worst * 10**pad, 0.0), 1 - max(best * 10**-pad, least * 0.8))
    low, high = panel.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    closest = (math.log10((1 - low) / (1 - high))) / 13
    for tick in list(ticks):  # those that would touch the one below them go
        below = [other for other in ticks if other < tick]
        if below and math.log10((1 - below[-1]) / (1 - tick)) < closest:
            ticks.remove(tick)
    panel.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    panel.set_ylabel("Held-out accuracy")


def dense_line(panel: Any, summary: Summary, label_at: float | None) -> None:
    """A dotted line at the accuracy of the dense baseline, with its name at ``label_at`` on the x axis, if given."""
    if summary.dense is None or not summary.dense.accuracy.n:
        return
    y = shown(summary.dense.accuracy.mean, summary)
    panel.axhline(y, color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    if label_at is not None:
        panel.annotate(
            "dense", (label_at, y), xytext=(0, 3), textcoords="offset points", color=LIGHT["muted"], in_layout=False
        )


def cost_span(panel: Any, values: Sequence[Estimate]) -> None:
    """Make the x axis of ``panel`` fit the means."""
    means = [value.mean for value in values if math.isfinite(value.mean)] or [0.0, 1.0]
    room = max(max(means) - min(means), 0.05 * max(means), 1e-3)
    panel.set_xlim(max(min(means) - 0.15 * room, 0.0), max(means) + 0.2 * room)
