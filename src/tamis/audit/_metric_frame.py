"""One model of an audit as a Fairlearn MetricFrame, for those who go on with that library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tamis.audit._evidence import Evidence
from tamis.errors import UsageError


def metric_frame(
    evidence: Evidence, attribute: str, condition: str, seed: int | None, metrics: Mapping[str, Any]
) -> Any:
    """See :meth:`tamis.audit.AuditReport.to_metric_frame`; rows with an unknown label or identity are left out."""
    try:
        from fairlearn.metrics import MetricFrame, selection_rate
        from sklearn.metrics import accuracy_score
    except ImportError:
        raise UsageError("to_metric_frame needs Fairlearn, which is not installed: pip install fairlearn") from None
    import pandas

    inputs = evidence.inputs
    named = {found.id: found for found in evidence.conditions}
    if attribute not in inputs.attributes or condition not in named:
        raise UsageError(
            f"no attribute {attribute!r} in condition {condition!r}; attributes are {', '.join(inputs.attributes)}, "
            f"conditions {', '.join(named)}"
        )
    runs = named[condition].runs
    chosen = [run for run in runs if seed in (None, run.about.seed)]
    if not chosen:
        raise UsageError(f"{condition}: no seed {seed}; there are {', '.join(map(str, named[condition].seeds))}")
    k = inputs.attributes.index(attribute)
    known = (inputs.y[k] < 2) & (inputs.groups < 2).all(axis=0)
    columns = zip(inputs.identities, inputs.groups, strict=True)
    features = {name: group[known].astype(np.int64) for name, group in columns}
    return MetricFrame(
        metrics=dict(metrics) or {"accuracy": accuracy_score, "selection_rate": selection_rate},
        y_true=inputs.y[k][known].astype(np.int64),
        y_pred=chosen[0].predictions[known, k].astype(np.int64),
        sensitive_features=pandas.DataFrame(features),
    )
