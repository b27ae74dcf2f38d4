"""The page of a transfer run, and the rows about transfers on the page of the run that they started from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.errors import FileError
from tamis.report._format import DASH, SPACE, milliseconds, percent, plain
from tamis.report._html import render_template
from tamis.report._read import json_object, recipe_of, text_of
from tamis.report._sections import busy_warning, facts
from tamis.report._svg import LIGHT, Chart, render_chart
from tamis.report._tables import Table

PHASES = {
    "extract": "features",
    "head": "head alone",
    "forward": "forward",
    "backward": "backward",
    "mask": "masking",
    "step": "optimizer",
    "full": "whole step",
}
SELECTIONS = {
    "last": "after the last epoch",
    "best_val": "chosen on validation",
    "paper_best_test": "best on test, not for statistics",
}


def is_transfer(folder: Path) -> bool:
    """Whether a run folder is that of a transfer, finished or not."""
    values = json_object(folder / "summary.json")
    if values is None:
        return "how" in recipe_of(folder / "recipe.toml", text_of(folder / "recipe.toml", []))
    return values.get("kind") == "transfer"


def render_transfer(folder: Path) -> str:
    """The page of the transfer run in ``folder`` as HTML text.

    Raises:
        FileError: the transfer has not ended, a file is damaged, or the summary lacks something.
    """
    summary = json_object(folder / "summary.json")
    if summary is None:
        raise FileError(
            f"{folder}: this transfer has not ended; go on with tamis transfer run {folder}/recipe.toml --resume"
        )
    env = json_object(folder / "env.json") or {}
    remarks: list[str] = []
    try:
        content = {**_content(summary), "title": f"{summary['task']}, {_kind(summary)}"}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
        raise FileError(
            f"{folder / 'summary.json'}: not the summary of a transfer ({problem!r}); the file is damaged."
        ) from None
    content |= {
        "run_name": folder.resolve().name,
        "recipe_text": text_of(folder / "recipe.toml", remarks),
        "provenance": facts({**env, "versions": summary.get("versions", {})}),
        "busy": busy_warning(env),
        "remarks": remarks,
    }
    return render_template("transfer.html.jinja", content)


def transfer_rows(folder: Path) -> list[dict[str, Any]]:
    """One record for each finished transfer in ``folder/transfer``; FileError for a damaged summary."""
    rows = []
    for file in sorted((folder / "transfer").glob("*/summary.json")):
        values = json_object(file) or {}
        if values.get("kind") != "transfer":
            continue
        try:
            speed = values["speed"]
            phase = "full" if values["how"] == "full" else "extract"
            own = next((row for row in speed["phases"] if row["phase"] == phase), None) if speed else None
            rows.append(
                {
                    "task": values["task"],
                    "backbone": _backbone(values),
                    "kind": _kind(values),
                    "test images": values["test_images"],
                    "top-1 accuracy": values["top1"],
                    "mean per class accuracy": values["mean_per_class"],
                    "dense / sparse CPU time": own["cpu_speedup"] if own else None,
                }
            )
        except (KeyError, TypeError) as problem:
            raise FileError(f"{file}: not the summary of a transfer ({problem!r}); the file is damaged.") from None
    return rows


def _backbone(summary: Mapping[str, Any]) -> str:
    method, sparsity = summary["backbone"]["method"], float(summary["sparsity_before"])
    return f"{method}, {percent(sparsity)} sparse" if sparsity else str(method)


def _kind(summary: Mapping[str, Any]) -> str:
    return {"linear": "linear (frozen body)", "full": "full (zeros fixed)"}[summary["how"]]


def _content(summary: Mapping[str, Any]) -> dict[str, Any]:
    backbone, channels = summary["backbone"], summary["channels"]
    charts = [_speed_chart(summary), _course_chart(summary)]
    return {
        "summary": summary,
        "kind": _kind(summary),
        "lead": _lead(summary),
        "cards": _cards(summary),
        "outcomes": _outcomes(summary),
        "speed": _speed_table(summary),
        "kernels": _kernels_table(summary),
        "layers": _layers(backbone["layers"]),
        "channels": _channels_table(channels["layers"]),
        "channel_text": f"{percent(channels['zero_filter_fraction'])} of the filters and "
        f"{percent(channels['zero_input_fraction'])} of the input channels are all zero (means weighted by the number "
        f"of weights); {channels['removable_channels']:,} of {channels['channels']:,} output channels could be removed "
        "without touching a residual sum.",
        "warnings": [str(text) for text in summary["warnings"]],
        "charts": {chart.key: chart for chart in charts if chart is not None},
    }


def _lead(summary: Mapping[str, Any]) -> str:
    backbone = summary["backbone"]
    name = backbone["architecture"].get("name", "a network of the user's")
    return (
        f"{name} ({backbone['method']}, {percent(float(summary['sparsity_before']))} sparse) on "
        f"{len(summary['classes'])} classes: {summary['train_images']:,} training and {summary['test_images']:,} test "
        "images"
    )


def _cards(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    metric = {"top1": "top-1", "mean_per_class": "mean per class"}[summary["metric"]]
    cards = [
        {
            "title": "Top-1 accuracy",
            "value": percent(float(summary["top1"])),
            "note": f"{summary['test_images']:,} test images; one image is {percent(1 / summary['test_images'], 2)}",
        },
        {
            "title": "Mean accuracy per class",
            "value": percent(float(summary["mean_per_class"])),
            "note": f"the accuracy that counts here is {metric}",
        },
        {
            "title": "Sparsity",
            "value": percent(float(summary["sparsity_after"]), 2),
            "note": f"{percent(float(summary['sparsity_before']), 2)} before; the new head is dense and not counted",
        },
    ]
    row = _phase(summary, "full" if summary["how"] == "full" else "extract")
    if row is not None:
        what = "a training step" if summary["how"] == "full" else "extracting features"
        cards.append(
            {
                "title": "Dense over sparse, CPU time",
                "value": f"{plain(float(row['cpu_speedup']))}\u00d7",
                "note": f"{what}, batch {summary['speed']['batch_size']}, {summary['speed']['threads']} thread(s), "
                f"{row['repeats']} turns each",
            }
        )
    return cards


def _phase(summary: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    speed = summary["speed"]
    return next((row for row in speed["phases"] if row["phase"] == name), None) if speed else None


def _outcomes(summary: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            SELECTIONS.get(row["selection"], row["selection"]),
            percent(float(row["top1"]), 2),
            percent(float(row["mean_per_class"]), 2),
            str(row.get("epoch", DASH)),
            plain(float(row["C"])) if "C" in row else DASH,
        )
        for row in summary["outcomes"]
    )
    headings = ("Which", "Top-1", "Mean per class", "Epoch", "C")
    return Table(headings, (False, True, True, True, True), rows)


def _speed_table(summary: Mapping[str, Any]) -> Table | None:
    if not summary["speed"]:
        return None
    rows = tuple(
        (
            PHASES[row["phase"]],
            milliseconds(row["dense_cpu_ms"]),
            milliseconds(row["sparse_cpu_ms"]),
            _ratio(row["cpu_speedup"]),
            milliseconds(row["dense_wall_ms"]),
            milliseconds(row["sparse_wall_ms"]),
            f"{_ratio(row['speedup'])} ({_ratio(row['speedup_low'])} to {_ratio(row['speedup_high'])})"
            if row["speedup"] is not None
            else DASH,
        )
        for row in summary["speed"]["phases"]
        if row["phase"] in PHASES
    )
    headings = ("Phase", "Dense, CPU", "Sparse, CPU", "Ratio", "Dense, wall", "Sparse, wall", "Ratio (range)")
    return Table(headings, (False, *(True for _ in headings[1:])), rows)


def _kernels_table(summary: Mapping[str, Any]) -> Table | None:
    if not summary["speed"]:
        return None
    rows = tuple(
        (
            row["layer"],
            percent(float(row["sparsity"]), 1),
            row["kernel"],
            milliseconds(_number(row["dense_ms"])),
            milliseconds(_number(row["sparse_ms"])),
            row["why"],
        )
        for row in summary["speed"]["layers"]
    )
    headings = ("Layer", "Sparsity", "Kernel", "Dense kernel", "Sparse kernel", "Why")
    return Table(headings, (False, True, False, True, True, False), rows)


def _layers(layers: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            row["layer"],
            " \u00d7 ".join(map(str, row["shape"])),
            percent(float(row["sparsity"]), 2),
            f"{row['live']:,}",
            f"{row['total']:,}",
            f"{row['active_zeros']:,}",
            row["style"],
            row["source"],
        )
        for row in layers
    )
    headings = ("Layer", "Shape", "Sparsity", "Live", "Total", "Zeros that live", "Stored as", "Mask from")
    return Table(headings, (False, False, True, True, True, True, False, False), rows)


def _channels_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            row["layer"],
            f"{row['zero_filters']:,} of {row['filters']:,}",
            percent(float(row["zero_filter_fraction"])),
            f"{row['zero_inputs']:,} of {row['inputs']:,}",
            f"{row['nonzeros_min']:,}",
            plain(float(row["nonzeros_median"])),
            f"{row['nonzeros_max']:,}",
            str(row["removable"]),
        )
        for row in layers
    )
    headings = (
        "Convolution",
        "Zero filters",
        "Share",
        "Zero inputs",
        "Fewest non-zeros",
        "Median",
        "Most",
        "Removable",
    )
    return Table(headings, (False, *(True for _ in headings[1:])), rows)


def _speed_chart(summary: Mapping[str, Any]) -> Chart | None:
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


def _course_chart(summary: Mapping[str, Any]) -> Chart | None:
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


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _ratio(value: Any) -> str:
    return DASH if value is None else f"{plain(float(value))}{SPACE}\u00d7"
