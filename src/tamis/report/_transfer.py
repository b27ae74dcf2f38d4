"""The page of a transfer run, and the rows about transfers on the page of the run that they started from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamis.errors import FileError
from tamis.report._format import percent, plain
from tamis.report._html import render_template
from tamis.report._read import json_object, metrics_of, recipe_of, text_of
from tamis.report._sections import busy_warning, facts
from tamis.report._transfer_charts import channels_chart, course_chart, speed_chart
from tamis.report._transfer_tables import (
    channels_table,
    epochs_table,
    kernels_table,
    layers_table,
    outcomes_table,
    speed_table,
)


def is_transfer(folder: Path) -> bool:
    """Whether a run folder is that of a transfer, finished or not."""
    values = json_object(folder / "summary.json")
    if values is None:
        return "how" in recipe_of(folder / "recipe.toml", text_of(folder / "recipe.toml", []))
    return values.get("kind") == "transfer"


def render_transfer(folder: Path) -> str:
    """The page of the transfer run in ``folder`` as HTML text; of one that has not ended, what there is so far.

    Raises:
        FileError: a file is damaged, or the summary lacks something.
    """
    summary = json_object(folder / "summary.json")
    if summary is None:
        return _render_unfinished(folder)
    remarks: list[str] = []
    try:
        content = {**_content(summary), "title": f"{summary['task']}, {_kind(summary)}"}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
        raise FileError(
            f"{folder / 'summary.json'}: not the summary of a transfer ({problem!r}); the file is damaged."
        ) from None
    content |= _common(folder, summary.get("versions", {}), remarks)
    return render_template("transfer.html.jinja", content)


def _render_unfinished(folder: Path) -> str:
    remarks: list[str] = []
    content = _common(folder, None, remarks)
    recipe = recipe_of(folder / "recipe.toml", content["recipe_text"])
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in metrics_of(folder / "metrics.jsonl", remarks):
        rows.setdefault(str(row["kind"]), []).append(row)
    how = str(recipe.get("how", ""))
    try:
        task = rows["task"][-1] if "task" in rows else {"name": recipe.get("data", "a task")}
        # an epoch that a resumed run repeated counts once
        epochs = sorted({int(row["epoch"]): row for row in rows.get("epoch", [])}.items())
        history = [row for _, row in epochs]
        wanted = recipe.get("finetune", {}).get("epochs") if how == "full" else None
        course = course_chart({"chosen": {"history": history}})
        content |= {
            "title": f"{task['name']}, {_kind(recipe)}",
            "lead": f"{len(history)} of {wanted} epochs have ended" if wanted else "No result yet",
            "epochs": epochs_table(history),
            "charts": {} if course is None else {course.key: course},
            "command": f"tamis transfer run {shlex.quote(str(folder / 'recipe.toml'))} --resume "
            f"--out {shlex.quote(str(folder))}",
        }
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise FileError(
            f"{folder}: recipe.toml or metrics.jsonl are not those of a transfer ({problem!r}); a file is damaged."
        ) from None
    return render_template("transfer_unfinished.html.jinja", content)


def _common(folder: Path, versions: Any, remarks: list[str]) -> dict[str, Any]:
    """What both pages show of the folder beside the numbers."""
    env = json_object(folder / "env.json") or {}
    return {
        "run_name": folder.resolve().name,
        "recipe_text": text_of(folder / "recipe.toml", remarks),
        "provenance": facts(env if versions is None else {**env, "versions": versions}),
        "busy": busy_warning(env),
        "remarks": remarks,
    }


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
    charts = [speed_chart(summary), course_chart(summary), channels_chart(channels["layers"])]
    return {
        "summary": summary,
        "kind": _kind(summary),
        "lead": _lead(summary),
        "cards": _cards(summary),
        "outcomes": outcomes_table(summary),
        "speed": speed_table(summary),
        "kernels": kernels_table(summary),
        "layers": layers_table(backbone["layers"]),
        "channels": channels_table(channels["layers"]),
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
    if row is not None and row["cpu_speedup"] is not None:
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
