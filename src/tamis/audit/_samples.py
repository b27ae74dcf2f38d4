"""Which samples changed: exemplars of each condition, who they are, and the queue for a person's review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tamis.audit._attribute_metrics import VERY_UNCERTAIN
from tamis.audit._comparison import Comparison, modal_predictions
from tamis.audit._exemplars import multilabel_agreement
from tamis.audit._measure import uncertain_samples
from tamis.audit._models import Run
from tamis.errors import UsageError

MOST_ROWS = 200


def exemplars_json(comparison: Comparison) -> dict[str, Any]:
    """The exemplars of one condition, as in docs/audit_json.md."""
    inputs = comparison.inputs
    changed = comparison.exemplars
    modes = comparison.dense_mode, modal_predictions(comparison.condition.runs)
    attributes = [_attribute(comparison, modes, k) for k in range(len(inputs.attributes))]
    rows, columns = riskiest(comparison, MOST_ROWS)
    return {
        "condition": comparison.condition.id,
        "samples": len(inputs.ids),
        "attributes": attributes,
        "rows": [_row(comparison, int(n), int(k)) for n, k in zip(rows, columns, strict=True)],
        "rows_total": int(changed.sum()),
        "multilabel": _multilabel(comparison),
    }


def riskiest(comparison: Comparison, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Row and attribute numbers of the exemplars, largest change of the mean probability first, then by id."""
    rows, columns = np.nonzero(comparison.exemplars)
    change = np.abs(
        comparison.compressed.mean_prob[columns, rows].astype(np.float64) - comparison.dense.mean_prob[columns, rows]
    )
    if most is not None and len(change) > 8 * most:  # sort only what can be among the first
        edge = np.partition(change, len(change) - most)[len(change) - most]
        kept = np.flatnonzero(change >= edge)
        rows, columns, change = rows[kept], columns[kept], change[kept]
    order = np.lexsort((columns, comparison.inputs.ids[rows], -change))[:most]
    return rows[order], columns[order]


def review_rows(comparison: Comparison, limit: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Predictions that a person should look at, riskiest first, with the columns of the queue.

    First those that compression changed (risk 1 and more, by the change of the mean probability); then those of which
    the dense models are uncertain (risk below 1, by how near to 1/2 they are).  Ties by id.
    """
    rows, columns = riskiest(comparison, limit)
    count = 0
    for n, k in zip(rows, columns, strict=True):
        count += 1
        yield _queued(comparison, int(n), int(k), "changed")
    if limit is None or count < limit:
        prob = comparison.dense.mean_prob
        near = (np.abs(prob - 0.5) < comparison.settings.uncertainty) & ~comparison.exemplars.T
        columns, rows = np.nonzero(near)
        order = np.lexsort((columns, comparison.inputs.ids[rows], np.abs(prob[columns, rows] - 0.5)))
        for place in order[: None if limit is None else limit - count]:
            yield _queued(comparison, int(rows[place]), int(columns[place]), "uncertain")


def _queued(comparison: Comparison, n: int, k: int, why: str) -> dict[str, Any]:
    found = _row(comparison, n, k)
    change = abs(found["compressed"] - found["dense"])
    risk = 1 + change if why == "changed" else 1 - 2 * abs(found["dense"] - 0.5)
    return {**found, **found["groups"], "risk": round(risk, 6), "why": why}


def _row(comparison: Comparison, n: int, k: int) -> dict[str, Any]:
    inputs = comparison.inputs
    y = int(inputs.y[k, n])
    before = bool(comparison.dense_mode[n, k])
    flip = ("1>0" if before else "0>1") if comparison.exemplars[n, k] else ""
    member = {name: int(group[n]) for name, group in zip(inputs.identities, inputs.groups, strict=True)}
    return {
        "id": inputs.ids[n].item(),
        "attribute": inputs.attributes[k],
        "y": y if y < 2 else None,
        "dense": round(float(comparison.dense.mean_prob[k, n]), 6),
        "compressed": round(float(comparison.compressed.mean_prob[k, n]), 6),
        "flip": flip,
        "groups": {name: value if value < 2 else None for name, value in member.items()},
    }


def _attribute(comparison: Comparison, modes: tuple[np.ndarray, np.ndarray], k: int) -> dict[str, Any]:
    inputs = comparison.inputs
    changed, y = comparison.exemplars[:, k], inputs.y[k]
    dense, compressed = modes[0][:, k], modes[1][:, k]
    runs = [run for run, share in comparison.weighted_runs if share < 0]
    doubtful = _majority_uncertain(runs, k, comparison.settings.uncertainty)
    torn = _majority_uncertain(runs, k, VERY_UNCERTAIN)
    known = y < 2
    groups = {}
    for name, group in zip(inputs.identities, inputs.groups, strict=True):
        inside = group < 2
        groups[name] = [_share(group == 1, changed & inside), _share(group == 1, inside)]
    return {
        "attribute": inputs.attributes[k],
        "count": int(changed.sum()),
        "share": float(changed.mean()),
        "to_negative": _share(dense, changed),
        "to_positive": _share(~dense, changed),
        "dense_uncertain": _share(doubtful, changed),
        "dense_uncertain_base": float(doubtful.mean()),
        "very_uncertain": _share(torn, changed),
        "very_uncertain_base": float(torn.mean()),
        "dense_accuracy_on": _share(dense == y, changed & known),
        "dense_accuracy_off": _share(dense == y, ~changed & known),
        "compressed_accuracy_on": _share(compressed == y, changed & known),
        "compressed_accuracy_off": _share(compressed == y, ~changed & known),
        "groups": groups,
    }


def _majority_uncertain(runs: list[Run], k: int, half_width: float) -> np.ndarray:
    votes = np.zeros(len(runs[0].logits), np.int32)
    for run in runs:
        prob = run.prob(k) if run.about.task == "multiclass" else np.zeros(0)
        votes += uncertain_samples(run, k, prob, half_width)
    return 2 * votes > len(runs)


def _share(what: np.ndarray, among: np.ndarray) -> float | None:
    count = int(among.sum())
    return float((what & among).sum() / count) if count else None


def _multilabel(comparison: Comparison) -> dict[str, Any] | None:
    """Exemplars by the ranks of all labels of a sample, where there are at least three labels of their own."""
    if comparison.condition.runs[0].about.task == "multiclass" or len(comparison.inputs.attributes) < 3:
        return None
    ids = comparison.inputs.ids
    found = multilabel_agreement(comparison.dense.mean_prob.T, comparison.compressed.mean_prob.T, ids)
    if not len(found.exemplars):
        return {"count": 0, "threshold_rho": None, "ids": []}
    return {
        "count": len(found.exemplars),
        "threshold_rho": float(found.rho[found.exemplars[-1]]),
        "ids": [ids[n].item() for n in found.exemplars[:MOST_ROWS]],
    }


def comparison_named(comparisons: Mapping[str, Comparison], name: str | None) -> Comparison:
    """The comparison of one condition; None takes the only one, or the last.  UsageError for an unknown name."""
    if name is None:
        return list(comparisons.values())[-1]
    if name not in comparisons:
        raise UsageError(f"no condition {name!r}; there are {', '.join(comparisons)}")
    return comparisons[name]
