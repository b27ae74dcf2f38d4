"""The first screen: four cards with the run's main numbers, and the sentence above them.

A finished run is read from its summary; a run in progress shows the latest values of its phases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.report._format import milliseconds, percent, points, ratio, size
from tamis.report._layers import Layers
from tamis.report._ledger import step_median
from tamis.report._phases import Span
from tamis.report._read import Run

METHODS = {
    "acdc": "AC/DC",
    "gmp": "gradual magnitude pruning",
    "oneshot": "one-shot pruning",
    "one-shot": "one-shot pruning",
    "dense": "dense training",
}


@dataclass(frozen=True)
class Bar:
    """One value of a card: its kind (dense or sparse, which sets the colour), its text, its length as a share."""

    kind: str
    name: str
    text: str
    share: float


@dataclass(frozen=True)
class Card:
    """One number of the first screen, as one or two bars and a line that compares them."""

    title: str
    bars: tuple[Bar, ...]
    comparison: str
    note: str


def cards_of(run: Run, spans: Sequence[Span], layers: Layers) -> tuple[Card, ...]:
    """Accuracy, sparsity, step time and file size; a card without any number is left out."""
    summary = run.summary
    dense = _first(summary.accuracy_dense, math.nan if run.finished else _last_accuracy(spans, "dense"))
    sparse = _first(summary.accuracy_sparse, math.nan if run.finished else _last_accuracy(spans, "sparse"))
    if not run.finished or (math.isnan(dense) and math.isnan(sparse)):
        dense = _first(dense, _last_accuracy(spans, "dense"))
        sparse = _first(sparse, _last_accuracy(spans, "sparse"))
    step_dense, step_sparse = summary.step_ms_dense, summary.step_ms_sparse
    if math.isnan(step_dense) and math.isnan(step_sparse):  # never one from here and one from there
        step_dense, step_sparse = step_median(spans, "dense"), step_median(spans, "sparse")
    count = summary.held_out_samples
    samples = f", {count:,.0f} samples" if math.isfinite(count) else ""
    so_far = "" if run.finished else ", so far"
    cards = (
        _pair(
            f"Accuracy on held-out data{so_far}", dense, sparse, percent, points(sparse - dense),
            f"sparse against dense{samples}", longest=1.0,
        ),
        _sparsity(run, layers),
        _pair(
            f"CPU time of a training step{so_far}", step_dense, step_sparse, milliseconds,
            ratio(step_dense, step_sparse, "faster", "slower"), "sparse against dense",
        ),
        _pair(
            "Size of the model file", summary.bytes_dense, summary.bytes_sparse, size,
            ratio(summary.bytes_dense, summary.bytes_sparse, "smaller", "larger"), "sparse file against dense file",
        ),
    )  # fmt: skip
    return tuple(card for card in cards if card is not None)


def _sparsity(run: Run, layers: Layers) -> Card | None:
    latest = [row.sparsity for row in run.masks if row.event != "decompress"][-1:]
    value = _first(run.summary.sparsity, latest[0] if latest else math.nan, layers.sparsity)
    if math.isnan(value):
        return None
    bar = Bar("sparse", "zeros", percent(value, 2), min(value, 1.0))
    comparison = f"{layers.live:,} weights live" if layers.total else ""
    note = f"of {layers.total:,} prunable" if layers.total else "of the prunable weights"
    over_all = run.summary.sparsity_over_all
    note += f"; {percent(over_all)} over all layers" if abs(over_all - value) > 5e-5 else ""
    return Card("Sparsity", (bar,), comparison, note)


def _pair(
    title: str, dense: float, sparse: float, text: Any, comparison: str, note: str, longest: float = 0.0
) -> Card | None:
    values = [(kind, value) for kind, value in (("dense", dense), ("sparse", sparse)) if math.isfinite(value)]
    if not values:
        return None
    longest = longest or max(value for _, value in values) or 1.0
    bars = tuple(Bar(kind, kind, text(value), value / longest) for kind, value in values)
    return Card(title, bars, comparison, note if comparison else "")


def _last_accuracy(spans: Sequence[Span], kind: str) -> float:
    """Held-out accuracy at the end of the last phase of a kind; dense epochs before any sparse one do not count."""
    ends = [
        span.epochs[-1].test_accuracy
        for index, span in enumerate(spans)
        if span.kind == kind and span.epochs and (kind == "sparse" or index > 0 or len(spans) == 1)
    ]
    return ends[-1] if ends else math.nan


def _first(*values: float) -> float:
    """The first of the values that is a number."""
    return next((value for value in values if math.isfinite(value)), math.nan)


def setting(recipe: Mapping[str, Any], *keys: str) -> str:
    """The text of the recipe's value at ``keys``, one key a table; empty where it has none or the value is a table.

    >>> setting({"train": {"epochs": 20}}, "train", "epochs"), setting({"train": 3}, "train", "epochs")
    ('20', '')
    """
    value: Any = recipe
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def description(run: Run) -> str:
    """One line below the title: method, data set, model, length and seed, as far as the recipe tells."""
    method = setting(run.recipe, "method")
    name = METHODS.get(method, method)
    parts = [name[:1].upper() + name[1:]] if name else []
    for keys, words in (
        (("data", "source"), "on {}"),
        (("model", "name"), "model {}"),
        (("train", "epochs"), "{} epochs"),
        (("train", "seed"), "seed {}"),
    ):
        value = setting(run.recipe, *keys)
        if value:
            parts.append(words.format(value))
    return ", ".join(parts)
