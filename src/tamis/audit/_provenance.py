"""The key ``provenance`` of a report: what was audited, how, and by which versions."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

import tamis
from tamis.audit._evidence import Evidence
from tamis.audit._models import rounded


def provenance(evidence: Evidence, command: str, digests: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, settings, hashes and thresholds; no host, user or path of this machine."""
    models, thresholds = [], []
    for condition in evidence.conditions:
        for run in condition.runs:
            about = run.about
            models.append({
                "condition": condition.id, "model": about.model, "method": about.method, "axis": about.axis,
                "level": about.level, "rounded_level": rounded(about), "seed": about.seed,
                "dense_seed": about.dense_seed, "sha256": about.digest, "meta": dict(about.meta),
            })  # fmt: skip
            if evidence.thresholds.source == "zero":
                continue
            for name, found in zip(evidence.inputs.attributes, evidence.thresholds.values[id(about)], strict=True):
                value = found.threshold if math.isfinite(found.threshold) else str(found.threshold)
                thresholds.append({
                    "condition": condition.id, "seed": about.seed, "attribute": name, "threshold": value,
                    "wanted": found.wanted, "achieved": found.achieved, "tied": found.tied,
                })  # fmt: skip
    notes = sorted({f"{c.id}: {note}" for c in evidence.conditions for note in c.notes})
    return {
        "tamis": tamis.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "command": command,
        "settings": dict(evidence.settings.as_json()),
        "models": models,
        **digests,
        "thresholds": {"source": evidence.thresholds.source, "values": thresholds},
        "notes": notes,
    }
