"""Thresholds for every model of an audit: zero, given, or calibrated on validation outputs; and what they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tamis.audit._labels import Labels
from tamis.audit._models import align, describe, rounded
from tamis.audit._outputs import Outputs
from tamis.audit._thresholds import Threshold, calibrate_threshold_published, calibrate_threshold_report
from tamis.errors import UsageError

Source = Literal["zero", "calibrated", "published", "given"]


@dataclass(frozen=True)
class Thresholds:
    """Where the thresholds come from, and those of each model: outputs -> one an attribute."""

    source: Source
    values: Mapping[int, tuple[Threshold, ...]]

    def of(self, outputs: Outputs) -> np.ndarray:
        """Thresholds of one model, float64, shape (K,)."""
        return np.array([found.threshold for found in self.values[id(outputs)]])


def find_thresholds(
    source: Source | Mapping[str, float],
    models: Sequence[Outputs],
    attributes: Sequence[str],
    valid: tuple[Labels, Sequence[Outputs]] | None,
) -> Thresholds:
    """Thresholds of all models.

    Raises:
        UsageError: calibration without validation outputs of one of the models, an attribute without a given
        threshold, or
            thresholds for the classes of a softmax.
    """
    if isinstance(source, Mapping):
        missing = [name for name in attributes if name not in source]
        if missing:
            raise UsageError(f"thresholds: none is given for {missing[0]!r}; expected one for each attribute")
        row = tuple(Threshold(float(source[name]), 0, 0, False) for name in attributes)
        if not np.isfinite([found.threshold for found in row]).all():
            raise UsageError("thresholds: expected finite numbers")
        _no_softmax(models)
        return Thresholds("given", {id(model): row for model in models})
    if source == "zero":
        row = (Threshold(0.0, 0, 0, False),) * len(attributes)
        return Thresholds("zero", {id(model): row for model in models})
    if source not in ("calibrated", "published"):
        raise UsageError(f"thresholds={source!r}; expected 'zero', 'calibrated', 'published' or a number by attribute")
    if valid is None:
        raise UsageError(f"thresholds={source!r} need validation outputs; pass valid, or thresholds='zero'")
    _no_softmax(models)
    labels, outputs = valid
    partner = {_key(found): found for found in outputs}
    values = {}
    for model in models:
        if _key(model) not in partner:
            raise UsageError(f"{describe(model)} has no validation outputs; expected the same method, level and seed")
        values[id(model)] = _calibrated(source, partner[_key(model)], labels, attributes)
    return Thresholds(source, values)


def _calibrated(source: Source, outputs: Outputs, labels: Labels, attributes: Sequence[str]) -> tuple[Threshold, ...]:
    assert labels.ids is not None
    run = align(outputs, labels.ids, attributes, np.zeros(len(attributes)))
    y = labels.columns(tuple(attributes)).values
    found = []
    for k, name in enumerate(attributes):
        known = y[:, k] < 2
        if not known.any():
            raise UsageError(f"{name!r} has no validation label; expected some for calibration")
        logits, truth = run.logits[known, k].astype(np.float64), y[known, k]
        if source == "published":
            threshold = calibrate_threshold_published(logits, truth)
            found.append(Threshold(threshold, int(truth.sum()), int((logits > threshold).sum()), False))
        else:
            found.append(calibrate_threshold_report(logits, truth))
    return tuple(found)


def _key(outputs: Outputs) -> tuple[Any, ...]:
    return outputs.model, outputs.method, outputs.axis, rounded(outputs), outputs.seed


def _no_softmax(models: Sequence[Outputs]) -> None:
    if any(model.task == "multiclass" for model in models):
        raise UsageError("classes of one softmax have no thresholds; expected thresholds='zero' for task='multiclass'")
