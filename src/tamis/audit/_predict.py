"""What the dense models alone say before anything is compressed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.audit._calibration import find_thresholds
from tamis.audit._compare import usable_threads
from tamis.audit._criteria import attribute_risks, risks_json
from tamis.audit._inputs import Inputs, prepare_inputs
from tamis.audit._labels import Labels
from tamis.audit._markdown import safe
from tamis.audit._measure import Measured, measure
from tamis.audit._models import align, gather
from tamis.audit._outputs import Outputs
from tamis.audit._pair_changes import pair_biases
from tamis.audit._queue import csv_text, write_csv
from tamis.audit._settings import Settings, exact_fraction
from tamis.audit._track_record import record_words, track_record
from tamis.errors import UsageError

SCHEMA = "tamis.audit.predict/1"
COLUMNS = ("id", "attribute", "risk", "dense")


@dataclass(frozen=True)
class Forecast:
    """A ranking of attributes and samples by risk, never a probability.

    Attributes:
        content: plain JSON types: ``schema``, ``attributes`` (as ``criteria.attributes`` of docs/audit_json.md),
            ``samples``, the share of uncertain predictions of each attribute, and ``track_record``, what such rankings
            were worth in our own study.
    """

    content: Mapping[str, Any]
    _measured: Measured
    _inputs: Inputs
    _settings: Settings

    def samples(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Uncertain predictions, nearest to 1/2 first: those that flip first when the model is compressed.

        At most ``limit`` of them; None for all.
        """
        prob, half_width = self._measured.mean_prob, self._settings.uncertainty
        distance = np.abs(prob.astype(np.float64) - 0.5)
        columns, rows = np.nonzero(distance < half_width)
        order = np.lexsort((columns, self._inputs.ids[rows], distance[columns, rows]))[:limit]
        return [
            {
                "id": self._inputs.ids[rows[i]].item(),
                "attribute": self._inputs.attributes[columns[i]],
                "risk": round(float(1 - 2 * distance[columns[i], rows[i]]), 6),
                "dense": round(float(prob[columns[i], rows[i]]), 6),
            }
            for i in order
        ]

    def review_queue(self, path: str | os.PathLike[str] | None = None, limit: int | None = None) -> str:
        """The samples as CSV text with safe names, also written to ``path`` if given."""
        rows = self.samples(limit)
        if path is not None:
            write_csv(Path(path), COLUMNS, rows)
        return csv_text(COLUMNS, rows)

    def to_markdown(self) -> str:
        """The ranking of attributes as a table, and what such rankings were worth in our own study."""
        head = "| rank | pair | c·u | uncertainty | error | correlation | dense BA |\n|---|---|---|---|---|---|---|\n"
        lines = [
            f"| {row['rank']} | {safe(row['attribute'])} x {safe(row['identity'])} | {row['score']:.4f} | "
            f"{row['uncertainty']:.4f} | {row['error']:.4f} | {row['correlation']:.4f} | {row['dense_ba']:.4f} |"
            for row in self.content["attributes"]
        ]
        ranking = head + "\n".join(lines) + "\n" if lines else "Bias amplification is defined for no pair.\n"
        return (
            "# Attributes at risk\n\nRanked by c·u: correlation with the identity in training times share of uncertain "
            f"dense predictions.\n\n{ranking}\n## How far to trust it\n\n{record_words()}"
        )


def predict(
    *,
    dense: Sequence[Outputs],
    labels: Labels,
    train_labels: Labels,
    groups: Sequence[str] | Labels,
    train_groups: Labels | None = None,
    attributes: Sequence[str] | None = None,
    min_positives: int = 10,
    min_gap: str = "1/10",
    uncertainty: float = 0.4,
) -> Forecast:
    """Rank attributes and samples at risk from the dense models alone; arguments as in :func:`tamis.audit.audit`.

    Raises:
        UsageError: inputs that do not fit each other.
    """
    if isinstance(dense, Outputs) or not dense:
        raise UsageError("dense: expected a list of at least one Outputs")
    settings = Settings(min_positives, exact_fraction(min_gap), uncertainty=float(uncertainty))
    names = tuple(attributes) if attributes is not None else dense[0].names
    inputs = prepare_inputs(labels, train_labels, names, groups, train_groups, (), settings)
    thresholds = find_thresholds("zero", dense, names, None)
    runs = [align(model, inputs.ids, names, thresholds.of(model)) for model in dense]
    measured = measure(gather(runs, [])[0], inputs, settings, usable_threads())
    risks = attribute_risks(measured, pair_biases(measured, inputs, settings), inputs)
    doubt = {
        name: float(np.mean([row[k].value for row in measured.metrics["uncertainty"]])) for k, name in enumerate(names)
    }
    content = {
        "schema": SCHEMA,
        "attributes": risks_json(risks, inputs),
        "samples": doubt,
        "seeds": len(dense),
        "track_record": track_record(),
    }
    return Forecast(content, measured, inputs, settings)
