"""The tables of the page below the charts: phases, mask events, the pair, epochs, provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.report._format import DASH, cell, milliseconds, percent, plain
from tamis.report._phases import Axis, Span
from tamis.report._read import Run
from tamis.report._tables import Table

MOST_EVENTS = 24
PAIR = (
    ("top1_agreement", "Top-1 agreement", "share of held-out samples on which both models choose the same class"),
    (
        "mean_kl",
        "Mean KL divergence",
        "nats, of the dense model's softmax against the sparse one's; 0 for equal outputs",
    ),
    (
        "mean_cross_entropy",
        "Mean cross-entropy",
        "nats, between the two softmaxes; KL plus the dense model's own entropy",
    ),
)


def phases_table(spans: Sequence[Span], axis: Axis) -> Table | None:
    """One row a phase: extent, held-out accuracy and exact zeros at its end, median step."""
    if not spans:
        return None
    rows = []
    for number, span in enumerate(spans, 1):
        last = span.epochs[-1] if span.epochs else None
        extent = f"{axis.position(span.start):.4g} to {axis.position(span.end):.4g}"
        ends = (percent(last.test_accuracy), percent(last.exact_zeros)) if last else (DASH, DASH)
        rows.append(
            (str(number), span.kind, extent, f"{span.end - span.start:,}", *ends, milliseconds(span.step_cpu_ms))
        )
    headings = (
        "Phase",
        "Kind",
        f"{axis.label.capitalize()}s",
        "Steps",
        "Accuracy at end",
        "Exact zeros at end",
        "Median step",
    )
    return Table(headings, (True, False, True, True, True, True, True), tuple(rows))


def events_table(run: Run, axis: Axis) -> Table | None:
    """One row a mask event; of a long list the first and the last, with a row that says how many were left out."""
    if not run.masks:
        return None
    rows: list[tuple[str, ...]] = [
        (
            plain(axis.position(row.step), 4),
            f"{row.step:,}",
            row.event,
            percent(row.sparsity, 2),
            f"{plain(row.mask_change_percent)}\u00a0%" if math.isfinite(row.mask_change_percent) else DASH,
            f"{row.iou:.4f}" if math.isfinite(row.iou) else DASH,
            percent(row.regrown_share, 2),
            row.digest[:10] or DASH,
        )
        for row in run.masks
    ]
    if len(rows) > MOST_EVENTS:
        half = MOST_EVENTS // 2
        left_out = len(rows) - MOST_EVENTS
        rest = (f"{left_out} more", *("\u2026" for _ in rows[0][1:]))
        rows = [*rows[:half], rest, *rows[-half:]]
    headings = (axis.label.capitalize(), "Step", "Event", "Sparsity", "Mask change", "IoU", "Regrown", "Mask hash")
    return Table(headings, (True, True, False, True, True, True, True, False), tuple(rows))


def pair_table(run: Run) -> Table | None:
    """How alike the dense and the sparse model of the run are."""
    values = run.summary.pair
    rows = tuple(
        (name, percent(values[key], 2) if key == "top1_agreement" else plain(values[key]), meaning)
        for key, name, meaning in PAIR
        if math.isfinite(values.get(key, math.nan))
    )
    return Table(("Measure", "Value", "Meaning"), (False, True, False), rows) if rows else None


def epochs_table(run: Run) -> Table | None:
    """Every epoch as logged."""
    if not run.epochs:
        return None
    headings = ("Epoch", "Step", "Phase", "Training loss", "Training accuracy", "Held-out loss", "Held-out accuracy",
                "Sparsity", "Exact zeros", "Learning rate", "Median step")  # fmt: skip
    rows = tuple(
        (
            str(row.epoch), f"{row.step:,}", row.phase, plain(row.train_loss), percent(row.train_accuracy),
            plain(row.test_loss), percent(row.test_accuracy), percent(row.sparsity), percent(row.exact_zeros),
            plain(row.lr), milliseconds(row.step_cpu_ms),
        )
        for row in run.epochs
    )  # fmt: skip
    return Table(headings, (True, True, False, *(True for _ in headings[3:])), rows)


def facts(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested JSON object as (name, text) pairs; inner names are joined with dots, lists of numbers with commas."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += facts(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            found.append((prefix + name, ", ".join(_fact(part) for part in value) or DASH))
        else:
            found.append((prefix + name, _fact(value)))
    return found


def _fact(value: Any) -> str:
    """Numbers stay as they are: a seed of 20240101 must not get separators."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else cell("", value)


def provenance_of(run: Run) -> list[tuple[str, str]]:
    """What the run was made with: ``env.json``, then versions of the summary that are not in it."""
    found: dict[str, str] = {}
    for values in (run.env, {"versions": run.summary.versions}):
        for name, text in facts(values):
            found.setdefault(name.removeprefix("versions.").replace("_", " "), text)
    return list(found.items())


def reference_of(run: Run) -> list[tuple[str, str]]:
    """Where the recipe says that it comes from, its ``[source]`` table: paper, table, expected number, certainty."""
    source = run.recipe.get("source")
    return [pair for pair in facts(source) if pair[1]] if isinstance(source, dict) else []


def busy_warning(env: Mapping[str, Any]) -> str:
    """A sentence if the machine was busier than it has cores when the run started, else empty.

    Reads ``load_average`` (a number, or a list that starts with the one-minute average) and ``cpus``.
    """
    average = env.get("load_average")
    load = _number(average[0] if isinstance(average, list) and average else average)
    cpus = _number(env.get("cpus"))
    if not load > cpus > 0:
        return ""
    return (
        f"The machine was busy (load {plain(load)} on {plain(cpus)} processors): wall-clock times of this run are not "
        "comparable, CPU times only roughly."
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
