"""The tables of a transfer's page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.report._format import DASH, SPACE, milliseconds, percent, plain
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


def outcomes_table(summary: Mapping[str, Any]) -> Table:
    """One row for each selection rule."""
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


def epochs_table(history: Sequence[Mapping[str, Any]]) -> Table | None:
    """The epochs of a full fine-tuning so far; None before the first has ended."""
    if not history:
        return None
    rows = tuple(
        (
            str(int(row["epoch"]) + 1),
            f"{float(row['lr']):g}",
            plain(float(row["train_loss"])),
            percent(float(row["val_score"]), 2) if "val_score" in row else DASH,
        )
        for row in history
    )
    return Table(("Epoch", "Learning rate", "Training loss, nats", "Validation"), (True, True, True, True), rows)


def speed_table(summary: Mapping[str, Any]) -> Table | None:
    """One row for each phase; None where speed was not measured."""
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


def kernels_table(summary: Mapping[str, Any]) -> Table | None:
    """One row for each layer; None where speed was not measured."""
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


def layers_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """Sparsity and the mask's source, layer by layer."""
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


def channels_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """What pruning left of every convolution's filters and channels."""
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


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _ratio(value: Any) -> str:
    return DASH if value is None else f"{plain(float(value))}{SPACE}\u00d7"
