"""The charts of a transfer's page: time of one batch, training loss, and what pruning left of every filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tamis.report._format import percent, plain
from tamis.report._svg import LIGHT, Chart, render_chart
from tamis.report._transfer_tables import PHASES


def speed_chart(summary: Mapping[str, Any]) -> Chart | None:
    """CPU time of one batch, dense beside sparse; None where speed was not measured."""
    if not summary["speed"]:
        return None
    full = summary["how"] == "full"
    names = ("forward", "backward", "step") if full else ("extract", "head")
    rows = [row for row in summary["speed"]["phases"] if row["phase"] in names]

    def draw(figure: Any, narrow: bool) -> None:
        panel = figure.subplots()
        for place, (who, colour) in enumerate((("dense", LIGHT["dense"]), ("sparse", LIGHT["sparse"]))):
            positions = [number + 0.4 * place for number in range(len(rows))]
            panel.barh(positions, [row[f"{who}_cpu_ms"] for row in rows], 0.36, color=colour, label=who)
        panel.set_yticks([number + 0.2 for number in range(len(rows))], [PHASES[row["phase"]] for row in rows])
        panel.invert_yaxis()
        panel.grid(visible=False, axis="y")
        panel.grid(visible=True, axis="x")
        panel.set_xlabel("median CPU time of one batch, ms")
        panel.legend(loc="lower right", ncols=2)

    told = "; ".join(
        f"{PHASES[row['phase']]}: dense {plain(row['dense_cpu_ms'])} ms, sparse {plain(row['sparse_cpu_ms'])} ms"
        for row in rows
    )
    caption = "Both networks took turns in one process on the same batch."
    return render_chart("speed", "Time of one batch", f"CPU time. {told}.", caption, (2.6, 2.8), draw)


def course_chart(summary: Mapping[str, Any]) -> Chart | None:
    """Training loss over the epochs of a full fine-tuning."""
    history = summary["chosen"].get("history", [])
    losses = [float(row["train_loss"]) for row in history]
    if len(losses) < 2:
        return None
    epochs = [int(row["epoch"]) + 1 for row in history]

    def draw(figure: Any, narrow: bool) -> None:
        panel = figure.subplots()
        panel.plot(epochs, losses, color=LIGHT["sparse"], marker="s", markersize=3.6)
        panel.set_title("Training loss, nats")
        panel.set_xlabel("epoch")
        panel.locator_params(axis="x", integer=True)

    alt = f"Training loss over {len(losses)} epochs, from {plain(losses[0])} to {plain(losses[-1])} nats."
    return render_chart("course", "Training loss", alt, "", (2.6, 2.8), draw)


def channels_chart(layers: Sequence[Mapping[str, Any]]) -> Chart | None:
    """What is left of the filters of every convolution: all-zero ones, and the live weights of a filter."""
    if not layers:
        return None
    places = range(1, len(layers) + 1)
    sizes = [row["weights"] / row["filters"] for row in layers]
    low, middle, high = (
        [row[f"nonzeros_{name}"] / size for row, size in zip(layers, sizes, strict=True)]
        for name in ("min", "median", "max")
    )

    def draw(figure: Any, narrow: bool) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for shift, what, colour in ((-0.2, "filter", LIGHT["sparse"]), (0.2, "input", LIGHT["dense"])):
            shares = [row[f"zero_{what}_fraction"] for row in layers]
            label = {"filter": "filters", "input": "input channels"}[what]
            upper.bar([place + shift for place in places], shares, 0.4, color=colour, label=label)
        upper.set_title("Share that is all zero")
        upper.set_ylim(
            0, 1.45 * max(0.02, *(row[f"zero_{what}_fraction"] for row in layers for what in ("filter", "input")))
        )
        upper.legend(loc="upper right", ncols=2)
        lower.vlines(places, low, high, color=LIGHT["muted"], linewidth=2)
        lower.plot(places, middle, "s", color=LIGHT["sparse"], markersize=4)
        lower.set_title("Live share of a filter's weights: least, median, most")
        lower.set_ylim(0, None)
        lower.set_xlabel("convolution, in the order of the network")
        lower.locator_params(axis="x", integer=True)
        for panel in (upper, lower):
            panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")

    worst = max(layers, key=lambda row: row["zero_filter_fraction"])
    alt = (
        f"All-zero filters and live weights of {len(layers)} convolutions. Most all-zero filters: {worst['layer']}, "
        f"{percent(worst['zero_filter_fraction'])}."
    )
    caption = "The table below has the names and the numbers."
    return render_chart("channels", "Channels", alt, caption, (4.2, 4.4), draw)
