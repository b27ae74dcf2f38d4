"""The rows of ``metrics.jsonl`` as typed values, checked field by field.

Absent measurements are NaN, so that a chart can skip them; damaged ones (a string for a number, an accuracy of 97
instead of 0.97) raise a :class:`~tamis.errors.FileError` that names the file, the line and the field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamis.errors import FileError


@dataclass(frozen=True)
class LayerCount:
    """Live and total weights of one prunable layer, and its units without a live weight where they were counted."""

    name: str
    live: int
    total: int
    no_fan_in: int | None = None
    no_fan_out: int | None = None


@dataclass(frozen=True)
class EpochRow:
    """One epoch: shares in [0, 1], losses in nats, wall time of all and median CPU time of single steps."""

    epoch: int
    step: int
    phase: str
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    sparsity: float
    exact_zeros: float
    lr: float
    wall_s: float
    step_cpu_ms: float


@dataclass(frozen=True)
class MaskRow:
    """One change of the masks: change in percent of all prunable weights, IoU and regrown share in [0, 1]."""

    step: int
    event: str
    sparsity: float
    layers: tuple[LayerCount, ...]
    mask_change_percent: float
    iou: float
    regrown_share: float
    effective_nnz: float
    digest: str


@dataclass(frozen=True)
class ProbeRow:
    """The memorisation probe: loss in nats and accuracy in [0, 1] on relabelled samples, against both labellings."""

    step: int
    loss_random: float
    accuracy_random: float
    loss_true: float
    accuracy_true: float


class Fields:
    """Checked access to the fields of one JSON object that was read from ``where`` (file and line, for messages)."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def refuse(self, name: str, expected: str) -> FileError:
        """The error for field ``name``; the caller raises it."""
        found = repr(self.values.get(name))
        found = found if len(found) <= 60 else found[:57] + "..."
        return FileError(
            f"{self.where}: field {name!r} is {found}, expected {expected}; the file is damaged or was not written by "
            "tamis. Restore it or repeat the run."
        )

    def number(self, name: str) -> float:
        """A number, NaN where the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(name, "a number")
        try:
            return float(value)
        except OverflowError:
            raise self.refuse(name, "a number that fits a double") from None

    def share(self, name: str) -> float:
        """A number in [0, 1], or NaN."""
        value = self.number(name)
        if value < 0 or value > 1:
            raise self.refuse(name, "a fraction between 0 and 1")
        return value

    def positive(self, name: str) -> float:
        """A finite number >= 0, or NaN."""
        value = self.number(name)
        if value < 0 or math.isinf(value):
            raise self.refuse(name, "a finite number of at least 0")
        return value

    def count(self, name: str) -> int:
        """A whole number >= 0; the field must be there."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0 or value > 2**62:
            raise self.refuse(name, "a whole number of at least 0")
        return value

    def text(self, name: str, default: str = "") -> str:
        """A string, ``default`` where the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.refuse(name, "a string")
        return value

    def phase(self, name: str = "phase") -> str:
        """``"dense"`` (also where the field is absent) or ``"sparse"``."""
        value = self.text(name, "dense")
        if value not in ("dense", "sparse"):
            raise self.refuse(name, 'the text "dense" or "sparse"')
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A JSON object, empty where the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.refuse(name, "an object")
        return value

    def sequence(self, name: str) -> list[Any]:
        """A JSON array, empty where the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refuse(name, "a list")
        return value


def layer_count(name: str, values: Any, where: str) -> LayerCount:
    """``{"live": int, "total": int}`` as a :class:`LayerCount`; raises FileError unless 0 <= live <= total."""
    if not isinstance(values, dict):
        raise FileError(f"{where}: layer {name!r} is not an object with live and total; the file is damaged.")
    fields = Fields(values, f"{where}, layer {name!r}")
    live, total = fields.count("live"), fields.count("total")
    if live > total:
        raise fields.refuse("live", f"at most total, which is {total}")
    dead = (fields.count(key) if values.get(key) is not None else None for key in ("no_fan_in", "no_fan_out"))
    return LayerCount(name, live, total, *dead)


def epoch_row(fields: Fields) -> EpochRow:
    """A row of kind ``epoch``; ``epoch`` and ``step`` must be there."""
    return EpochRow(
        epoch=fields.count("epoch"),
        step=fields.count("step"),
        phase=fields.phase(),
        train_loss=fields.number("train_loss"),
        train_accuracy=fields.share("train_accuracy"),
        test_loss=fields.number("test_loss"),
        test_accuracy=fields.share("test_accuracy"),
        sparsity=fields.share("sparsity"),
        exact_zeros=fields.share("exact_zeros"),
        lr=fields.number("lr"),
        wall_s=fields.positive("wall_s"),
        step_cpu_ms=fields.positive("step_cpu_ms"),
    )


def mask_row(fields: Fields) -> MaskRow:
    """A row of kind ``mask``; ``step`` and ``event`` must be there."""
    event = fields.text("event")
    if event not in ("compress", "decompress", "prune"):
        raise fields.refuse("event", '"compress", "decompress" or "prune"')
    layers = fields.mapping("layers")
    return MaskRow(
        step=fields.count("step"),
        event=event,
        sparsity=fields.share("sparsity"),
        layers=tuple(layer_count(name, values, fields.where) for name, values in layers.items()),
        mask_change_percent=fields.positive("mask_change_percent"),
        iou=fields.share("iou"),
        regrown_share=fields.share("regrown_share"),
        effective_nnz=fields.positive("effective_nnz"),
        digest=fields.text("hash"),
    )


def probe_row(fields: Fields) -> ProbeRow:
    """A row of kind ``probe``; ``step`` must be there."""
    return ProbeRow(
        step=fields.count("step"),
        loss_random=fields.number("loss_random"),
        accuracy_random=fields.share("accuracy_random"),
        loss_true=fields.number("loss_true"),
        accuracy_true=fields.share("accuracy_true"),
    )
