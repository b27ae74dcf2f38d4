"""``summary.json`` as a typed value; every key is optional, so that any method and an unfinished run fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tamis.report._rows import Fields, LayerCount, layer_count

NAN = math.nan


@dataclass(frozen=True)
class LedgerRow:
    """One count of FLOPs per sample: ``row`` is forward or training, ``count`` is mask (may live) or nonzero (does).

    ``fraction`` is ``flops / dense_flops``, the denominator being the dense model's forward pass or training step.
    """

    row: str
    count: str
    fraction: float
    flops: float
    dense_flops: float


@dataclass(frozen=True)
class Summary:
    """What a finished run says about itself.

    Accuracies and sparsities are shares in [0, 1]; steps are milliseconds of CPU time; sizes are bytes; KL and
    cross-entropy are in nats.  A missing number is NaN, a missing list is empty.
    """

    accuracy_dense: float = NAN
    accuracy_sparse: float = NAN
    sparsity: float = NAN
    sparsity_over_all: float = NAN
    step_ms_dense: float = NAN
    step_ms_sparse: float = NAN
    bytes_dense: float = NAN
    bytes_sparse: float = NAN
    held_out_samples: float = NAN
    layers: tuple[LayerCount, ...] = ()
    pair: Mapping[str, float] = field(default_factory=dict)
    ledger: tuple[LedgerRow, ...] = ()
    choices: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    recipe: str = ""
    versions: Mapping[str, Any] = field(default_factory=dict)


def read_summary(values: Mapping[str, Any], where: str) -> Summary:
    """The checked summary; raises FileError naming ``where`` and the field that does not fit."""
    fields = Fields(values, where)
    pair = Fields(fields.mapping("pair"), f"{where}, pair")
    return Summary(
        accuracy_dense=fields.share("accuracy_dense"),
        accuracy_sparse=fields.share("accuracy_sparse"),
        sparsity=fields.share("sparsity"),
        sparsity_over_all=fields.share("sparsity_over_all"),
        step_ms_dense=fields.positive("step_ms_dense"),
        step_ms_sparse=fields.positive("step_ms_sparse"),
        bytes_dense=fields.positive("bytes_dense"),
        bytes_sparse=fields.positive("bytes_sparse"),
        held_out_samples=fields.positive("held_out_samples"),
        layers=_layers(fields),
        pair={
            "top1_agreement": pair.share("top1_agreement"),
            "mean_kl": pair.number("mean_kl"),
            "mean_cross_entropy": pair.number("mean_cross_entropy"),
        },
        ledger=_ledger(fields),
        choices=_records(fields, "choices"),
        warnings=_texts(fields, "warnings"),
        recipe=fields.text("recipe"),
        versions=fields.mapping("versions"),
    )


def _layers(fields: Fields) -> tuple[LayerCount, ...]:
    """A list of ``{"name", "live", "total"}``, or the object name -> counts that the mask rows use."""
    value = fields.values.get("layers")
    if isinstance(value, dict):
        return tuple(layer_count(name, counts, fields.where) for name, counts in value.items())
    rows = _records(fields, "layers")
    return tuple(layer_count(Fields(row, f"{fields.where}, layers").text("name"), row, fields.where) for row in rows)


def _ledger(fields: Fields) -> tuple[LedgerRow, ...]:
    """``flops["rows"]``, the ledger of the sparsifier."""
    where = f"{fields.where}, flops"
    rows = [Fields(row, where) for row in _records(Fields(fields.mapping("flops"), where), "rows")]
    return tuple(
        LedgerRow(
            row.text("row"),
            row.text("count"),
            row.positive("fraction"),
            row.positive("flops"),
            row.positive("dense_flops"),
        )
        for row in rows
    )


def _records(fields: Fields, name: str) -> tuple[Mapping[str, Any], ...]:
    rows = fields.sequence(name)
    if not all(isinstance(row, dict) for row in rows):
        raise fields.refuse(name, "a list of objects")
    return tuple(rows)


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    rows = fields.sequence(name)
    if not all(isinstance(row, str) for row in rows):
        raise fields.refuse(name, "a list of strings")
    return tuple(rows)
