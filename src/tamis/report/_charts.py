"""The charts of the page: what they show and how their text alternatives say it.

Colour never carries a meaning alone: dense phases have blue circles, sparse phases orange squares on a tinted ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tamis.report._format import milliseconds, percent, plain
from tamis.report._ledger import step_median
from tamis.report._phases import Axis, Span, last_step
from tamis.report._read import Run
from tamis.report._svg import LIGHT, Chart, render_chart

Series = Sequence[float]
MARKERS = {"dense": "o", "sparse": "s"}


def charts_of(run: Run, axis: Axis, spans: Sequence[Span]) -> dict[str, Chart]:
    """All charts that the run has numbers for, by key: training, loss, masks, speed, probe."""
    charts = (
        _training(run, axis, spans),
        _loss(run, axis, spans),
        _masks(run, axis, spans),
        _speed(run, axis, spans),
        _probe(run, axis, spans),
    )
    return {chart.key: chart for chart in charts if chart is not None}


def _training(run: Run, axis: Axis, spans: Sequence[Span]) -> Chart | None:
    accuracy = [row.test_accuracy for row in run.epochs]
    zeros = [row.exact_zeros for row in run.epochs]
    if not _any(accuracy):
        return None

    def draw(figure: Any, narrow: bool) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.7, 1))
        _lines(upper, axis, run, [row.train_accuracy for row in run.epochs], "training", thin=True)
        _by_phase(upper, axis, run, spans, accuracy, "held-out")
        upper.set_title("Accuracy")
        lower.set_title("Sparsity of the prunable weights")
        edges = [0.0, *(axis.position(row.step) for row in run.epochs)]
        masked = [row.sparsity for row in run.epochs]
        lower.stairs(masked, edges, baseline=None, color=LIGHT["ink"], linewidth=1.5, label="by the masks")
        lower.stairs(zeros, edges, baseline=None, color=LIGHT["muted"], linestyle=(0, (4, 2)), label="exact zeros")
        lower.set_ylim(-0.04, 1.04)
        for panel in (upper, lower):
            panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
            _shade(panel, axis, spans)
        _finish(figure, (upper, lower), axis, run, narrow)

    heights = (4.7, 5.0)
    alt = f"Accuracy and sparsity over {_extent(run)}. Held-out accuracy {_course(accuracy, percent)}"
    alt += f"; exact zeros {_course(zeros, percent)}. {_spans_text(axis, spans)}" if _any(zeros) else "."
    caption = "Exact zeros in a dense phase are weights that have not come back."
    caption = f"Sparse phases are shaded. {caption}" if len({span.kind for span in spans}) > 1 else caption
    return render_chart("training", "Accuracy and sparsity over time", alt, caption, heights, draw)


def _loss(run: Run, axis: Axis, spans: Sequence[Span]) -> Chart | None:
    loss = [row.test_loss for row in run.epochs]
    train = [row.train_loss for row in run.epochs]
    if not _any(loss) and not _any(train):
        return None

    def draw(figure: Any, narrow: bool) -> None:
        panel = figure.subplots()
        _lines(panel, axis, run, train, "training", thin=True)
        _by_phase(panel, axis, run, spans, loss, "held-out")
        panel.set_title("Loss (cross-entropy, nats)")
        if all(value > 0 for value in (*loss, *train) if math.isfinite(value)):
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            panel.yaxis.set_minor_formatter("")
        _shade(panel, axis, spans)
        _finish(figure, (panel,), axis, run, narrow)

    alt = f"Loss over {_extent(run)}. Held-out loss {_course(loss, plain)}; training loss {_course(train, plain)}."
    return render_chart("loss", "Loss over time", alt, "", (2.5, 3.1), draw)


def _masks(run: Run, axis: Axis, spans: Sequence[Span]) -> Chart | None:
    events = [row for row in run.masks if row.event != "decompress" and math.isfinite(row.mask_change_percent)]
    if not events:
        return None
    places = [axis.position(row.step) for row in events]
    change = [row.mask_change_percent for row in events]
    iou = [row.iou for row in events]

    def draw(figure: Any, narrow: bool) -> None:
        panels = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
        for panel, values, title in (
            (panels[0], change, "Mask change, % of weights"),
            (panels[1], iou, "Overlap (IoU)"),
        ):
            panel.plot(places, values, color=LIGHT["sparse"], marker="s", markersize=4.5, linewidth=1.3)
            panel.set_title(title)
            _shade(panel, axis, spans)
            _label(panel, axis)
            panel.set_xlim(0, _right(axis, run))
        panels[0].set_ylim(bottom=0)
        panels[1].set_ylim(min([value for value in iou if math.isfinite(value)], default=0) - 0.02, 1.005)

    alt = (
        f"Over {len(events)} mask events the change in percent of the weights {_course(change, plain)}, "
        f"and the overlap (IoU) with the masks before {_course(iou, plain)}."
    )
    caption = (
        "Each point compares new masks with the ones before. Masks that settle change little and overlap almost fully."
    )
    return render_chart("masks", "How much the masks still move", alt, caption, (2.5, 4.2), draw)


def _speed(run: Run, axis: Axis, spans: Sequence[Span]) -> Chart | None:
    times = [row.step_cpu_ms for row in run.epochs]
    if not _any(times):
        return None

    def draw(figure: Any, narrow: bool) -> None:
        panel = figure.subplots()
        _by_phase(panel, axis, run, spans, times, "", line=False)
        for kind in MARKERS:
            middle = step_median(spans, kind)
            for span in spans if math.isfinite(middle) else ():
                if span.kind == kind:
                    ends = [axis.position(span.start), axis.position(span.end)]
                    panel.plot(ends, [middle, middle], color=LIGHT[kind], linewidth=2, solid_capstyle="butt")
        panel.set_title("CPU time of a training step, ms")
        panel.set_ylim(bottom=0, top=1.15 * max(time for time in times if math.isfinite(time)) or 1)
        _shade(panel, axis, spans)
        _finish(figure, (panel,), axis, run, narrow)

    parts = [f"{kind} phases {milliseconds(step_median(spans, kind))}" for kind in MARKERS]
    alt = f"Median CPU time of a training step in each epoch over {_extent(run)}: {', '.join(parts)}."
    caption = "Points are the medians of single epochs, bars the median over all epochs of a kind of phase."
    return render_chart("speed", "CPU time of a training step", alt, caption, (2.5, 2.9), draw)


def _probe(run: Run, axis: Axis, spans: Sequence[Span]) -> Chart | None:
    random = [row.accuracy_random for row in run.probes]
    true = [row.accuracy_true for row in run.probes]
    if not _any(random) and not _any(true):
        return None
    places = [axis.position(row.step) for row in run.probes]

    def draw(figure: Any, narrow: bool) -> None:
        panel = figure.subplots()
        panel.plot(places, true, label="true labels", color=LIGHT["muted"], linewidth=1.2, linestyle=(0, (4, 2)))
        panel.plot(places, random, label="random labels", color=LIGHT["ink"], linewidth=1.4, marker="D", markersize=3)
        panel.set_title("Accuracy on the samples with random labels")
        panel.set_ylim(-0.03, 1.03)
        panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        _shade(panel, axis, spans)
        _finish(figure, (panel,), axis, run, narrow)

    alt = (
        f"Memorisation probe over {len(run.probes)} measurements: accuracy against the random labels "
        f"{_course(random, percent)}, against the true labels {_course(true, percent)}."
    )
    caption = "High against random labels: the model memorised them. High against true labels: it generalised."
    return render_chart("probe", "Memorisation of random labels", alt, caption, (2.7, 3.1), draw)


def _lines(panel: Any, axis: Axis, run: Run, values: Series, name: str, *, thin: bool = False) -> None:
    if _any(values):
        places = [axis.position(row.step) for row in run.epochs]
        colour = LIGHT["muted"] if thin else LIGHT["ink"]
        panel.plot(places, values, color=colour, linewidth=1.0, linestyle=(0, (4, 2)) if thin else "-", label=name)


def _by_phase(
    panel: Any, axis: Axis, run: Run, spans: Sequence[Span], values: Series, name: str, *, line: bool = True
) -> None:
    if line:
        _lines(panel, axis, run, values, name)
    before = f"{name}, " if name else ""
    value_at = dict(zip((row.step for row in run.epochs), values, strict=True))
    size = 4.4 if len(run.epochs) <= 60 else 2.6
    for kind, marker in MARKERS.items():
        steps = [row.step for span in spans if span.kind == kind for row in span.epochs]
        if steps:
            panel.plot(
                [axis.position(step) for step in steps], [value_at[step] for step in steps], linestyle="none",
                marker=marker, markersize=size, color=LIGHT[kind], label=f"{before}{kind} phase",
            )  # fmt: skip


def _shade(panel: Any, axis: Axis, spans: Sequence[Span]) -> None:
    for span in spans:
        if span.kind == "sparse" and len({other.kind for other in spans}) > 1:
            panel.axvspan(
                axis.position(span.start), axis.position(span.end), color=LIGHT["shade"], linewidth=0, zorder=0
            )


def _finish(figure: Any, panels: Sequence[Any], axis: Axis, run: Run, narrow: bool) -> None:
    """Axis labels, limits and legends: above each panel where there is room, else one below all panels."""
    _label(panels[-1], axis)
    entries: list[tuple[Any, str]] = []
    for panel in panels:
        panel.set_xlim(0, _right(axis, run))
        own = [entry for entry in zip(*panel.get_legend_handles_labels(), strict=True) if entry[1] != "held-out"]
        entries += own
        if own and not narrow:
            legend = panel.legend(
                *zip(*own, strict=True), loc="lower right", bbox_to_anchor=(1, 1), ncols=len(own),
                borderaxespad=0, columnspacing=1.3, handletextpad=0.5,
            )  # fmt: skip
            legend.set_in_layout(False)
    if entries and narrow:
        figure.legend(
            *zip(*entries, strict=True), loc="outside lower left", ncols=2, columnspacing=1.0, handletextpad=0.5
        )


def _label(panel: Any, axis: Axis) -> None:
    """The axis' name, and ticks at whole numbers only: there is no half epoch to look up."""
    panel.set_xlabel(axis.label)
    panel.locator_params(axis="x", integer=True)


def _right(axis: Axis, run: Run) -> float:
    return axis.position(last_step(run)) * 1.005 or 1.0


def _any(values: Series) -> bool:
    return any(math.isfinite(value) for value in values)


def _extent(run: Run) -> str:
    return f"{len(run.epochs)} epochs" if len(run.epochs) != 1 else "one epoch"


def _course(values: Series, text: Callable[[float], str]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "was not measured"
    return (
        f"goes from {text(finite[0])} to {text(finite[-1])} (lowest {text(min(finite))}, highest {text(max(finite))})"
    )


def _spans_text(axis: Axis, spans: Sequence[Span]) -> str:
    kinds = [f"{span.kind} from {axis.position(span.start):.4g} to {axis.position(span.end):.4g}" for span in spans]
    return f"Phases by {axis.label}: {', '.join(kinds)}." if 1 < len(kinds) <= 40 else ""
