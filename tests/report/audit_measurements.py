"""Numbers of a simulated audit: counts, pairs, curves and exemplars, each from logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

METRICS = {
    "accuracy": ("Accuracy", "higher", "attributes"),
    "auc": ("Area under the ROC curve", "higher", "attributes"),
    "uncertainty": ("Uncertain predictions", "lower", "attributes"),
    "ece": ("Calibration error", "lower", "attributes"),
    "tcb": ("Threshold calibration bias", "", "attributes"),
    "interdependence": ("Interdependence", "lower", "attributes"),
    "ba": ("Bias amplification, mean", "lower", "pairs"),
    "ba_max": ("Bias amplification, worst pair", "lower", "pairs"),
    "cie_share": ("Changed samples", "lower", "attributes"),
}


def estimate(values: Sequence[float | None], spread: float = 0.0, reason: str = "") -> dict[str, Any]:
    """Mean over seeds with an interval of half-width ``spread`` (0: none)."""
    known = [value for value in values if value is not None]
    if reason or not known:
        return {"mean": None, "seeds": [], "interval": None, "reason": reason or "never_predicted"}
    mean = float(np.mean(known))
    interval = {"kind": "rows", "lo": mean - spread, "hi": mean + spread, "level": 0.95, "dropped": 0.0, "notes": []}
    seeds = [{"seed": seed, "value": value} for seed, value in enumerate(values)]
    return {"mean": mean, "seeds": seeds, "interval": interval if spread else None, "reason": ""}


def counts_of(group: np.ndarray, label: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.bincount(4 * group + 2 * label + predicted, minlength=8).reshape(2, 2, 2)


def histogram(group: np.ndarray, label: np.ndarray, logits: Sequence[np.ndarray]) -> list[Any]:
    total = np.zeros((2, 2, 100), np.int64)
    for z in logits:
        bins = np.minimum(99, np.floor(100 / (1 + np.exp(-z)))).astype(int)
        np.add.at(total, (group.astype(int), label, bins), 1)
    return total.tolist()


def _amplification(counts: np.ndarray, toward: int) -> float | None:
    predicted, labelled = counts[:, :, 1].sum(1), counts[:, 1, :].sum(1)
    return float(predicted[toward] / predicted.sum() - labelled[toward] / labelled.sum()) if predicted.sum() else None


def pair(name: str, attribute: str, identity: str, dense: Any, compressed: Any, lean: float, samples: int) -> Any:
    positives = dense[0][:, 1, :].sum(1)
    reason = "too_few_positives" if positives.min() < 10 else "no_train_gap" if abs(lean) < 0.06 else ""
    toward = int(lean > 0)
    before = [] if reason else [_amplification(table, toward) for table in dense]
    after = [] if reason else [_amplification(table, toward) for table in compressed]
    if None in (*before, *after):
        reason, before, after = "never_predicted", [], []
    change = [b - a for a, b in zip(before, after, strict=True)] if not reason else []
    spread = 1.4 / np.sqrt(max(1, positives.sum()))
    p = float(np.clip(np.exp(-3 * abs(np.mean(change)) / spread), 5e-4, 1)) if change else None
    difference = estimate(change, spread, reason)
    return {
        "condition": name,
        "attribute": attribute,
        "identity": identity,
        "reason": reason,
        "toward": None if reason else toward,
        "headroom": None if reason else float(1 - positives[toward] / positives.sum()),
        "dense": estimate(before, 0, reason),
        "compressed": estimate(after, 0, reason),
        "change": difference,
        "intervals": [difference["interval"]] if difference["interval"] else [],
        "p": p,
        "q": p and min(1.0, 1.5 * p),
        "counts": {"dense": sum(dense).tolist(), "compressed": sum(compressed).tolist()},
        "train": {
            "group1": [int(1500 * (1 + np.tanh(lean)) / 2), 2500],
            "group0": [int(1500 * (1 - np.tanh(lean)) / 2), 2528],
        },
        "missing": 0,
    }


def curves(ids: Sequence[str], outputs: Mapping[str, Any], labels: np.ndarray, pairs: Sequence[Any]) -> list[Any]:
    def values(metric: str, name: str) -> list[float]:
        if metric in ("ba", "ba_max"):
            own = [p for p in pairs if p["condition"] == (name if name != "dense" else ids[1]) and not p["reason"]]
            side = "dense" if name == "dense" else "compressed"
            if not own:
                return []
            table = np.array([[seed["value"] for seed in p[side]["seeds"]] for p in own])
            return (table.mean(0) if metric == "ba" else table.max(0)).tolist()
        found = []
        for z, reference in zip(outputs[name], outputs["dense"], strict=True):
            p, predicted = 1 / (1 + np.exp(-z)), z > 0
            found.append(
                {
                    "accuracy": (predicted == labels).mean(),
                    "auc": (predicted == labels).mean() + 0.04,
                    "uncertainty": (np.abs(p - 0.5) < 0.4).mean(),
                    "ece": np.abs(p - labels).mean() / 4,
                    "tcb": float(np.exp(np.log((predicted.sum(0) + 0.5) / (labels.sum(0) + 0.5)).mean())),
                    "interdependence": 0.3 + 0.1 * (np.abs(p - 0.5) < 0.4).mean(),
                    "cie_share": (predicted != (reference > 0)).mean(),
                }[metric]
            )
        return [float(value) for value in found]

    found = []
    for metric, (title, better, over) in METRICS.items():
        means = {name: values(metric, name) for name in ids if (name, metric) != ("dense", "cie_share")}
        points = [
            {
                "condition": name,
                **estimate(own, 0.006 if metric == "cie_share" else 0.0),
                "change": _change(metric, own, means.get("dense")) if name != "dense" else None,
            }
            for name, own in means.items()
        ]
        found.append({"metric": metric, "title": title, "better": better, "over": over, "points": points})
    return found


def _change(metric: str, own: Sequence[float], dense: Sequence[float] | None) -> Any:
    """As the audit gives it: a drop of accuracy is positive, and a metric without a dense point has no change."""
    if dense is None or metric not in ("accuracy", "uncertainty", "ba") or not own:
        return None
    sign = -1 if metric == "accuracy" else 1
    return estimate([sign * (b - a) for a, b in zip(dense, own, strict=True)], 0.006)


def exemplars(
    name: str, dense: Any, compressed: Any, labels: Any, groups: Any, attributes: Any, identities: Any
) -> Any:
    p, q = (np.mean([1 / (1 + np.exp(-z)) for z in side], axis=0) for side in (dense, compressed))
    flips = np.argwhere((p > 0.5) != (q > 0.5))
    flips = flips[np.argsort(-np.abs(p - q)[tuple(flips.T)], kind="stable")]
    rows = [
        {
            "id": f"digit-{n:05d}",
            "attribute": attributes[t],
            "y": int(labels[n, t]),
            "dense": round(float(p[n, t]), 4),
            "compressed": round(float(q[n, t]), 4),
            "flip": "1>0" if p[n, t] > 0.5 else "0>1",
            "groups": {identity: int(groups[n, a]) for a, identity in enumerate(identities)},
        }
        for n, t in flips[:200]
    ]
    table = []
    for t, attribute in enumerate(attributes):
        on = (p[:, t] > 0.5) != (q[:, t] > 0.5)
        right, right_c = ((x[:, t] > 0.5) == labels[:, t] for x in (p, q))
        unsure = np.abs(p[:, t] - 0.5) < 0.4
        mean = lambda values: float(values.mean()) if len(values) else None  # noqa: E731
        table.append(
            {
                "attribute": attribute,
                "count": int(on.sum()),
                "share": mean(on),
                "to_negative": mean(p[on, t] > 0.5),
                "to_positive": mean(p[on, t] <= 0.5),
                "dense_uncertain": mean(unsure[on]),
                "dense_uncertain_base": mean(unsure),
                "very_uncertain": mean(np.abs(p[on, t] - 0.5) < 0.1),
                "very_uncertain_base": mean(np.abs(p[:, t] - 0.5) < 0.1),
                "dense_accuracy_on": mean(right[on]),
                "dense_accuracy_off": mean(right[~on]),
                "compressed_accuracy_on": mean(right_c[on]),
                "compressed_accuracy_off": mean(right_c[~on]),
                "groups": {
                    identity: [mean(groups[on, a]), mean(groups[:, a])] for a, identity in enumerate(identities)
                },
            }
        )
    return {
        "condition": name,
        "samples": len(labels),
        "attributes": table,
        "rows": rows,
        "rows_total": len(flips),
        "multilabel": {"count": 72, "threshold_rho": 0.61, "ids": [row["id"] for row in rows[:72]]},
    }
