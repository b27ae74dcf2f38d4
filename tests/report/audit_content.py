"""The content of an audit (schema tamis.audit/1) from simulated logits: every number follows from counts.

Independent of tamis.audit, so that the page can be tested with any shape, name and fault.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ATTRIBUTES = ("Loop", "Even", "Big", "Straight", "Thick", "Slanted", "Wide", "TopHeavy", "Dark", "VerySlanted")
IDENTITIES = ("Warm", "Striped")
LEVELS = (0.8, 0.9, 0.95, 0.97, 0.98)
REASONS = {
    "too_few_positives": "Fewer than 10 true positives in one of the two groups of the test set.",
    "no_train_gap": "The training set does not favour either group: their rates differ by less than a tenth.",
    "never_predicted": "The model never predicts this attribute, so there is nothing to compare.",
    "too_few_seeds": "Fewer than five seeds: the spread between trainings is shown as dots, without an interval.",
    "constant_prediction": "All predictions of the attribute are equal.",
}
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


def simulated(
    attributes: Sequence[str] = ATTRIBUTES,
    identities: Sequence[str] = IDENTITIES,
    levels: Sequence[float] = LEVELS,
    samples: int = 1444,
    seeds: int = 3,
    state: str = "fail",
) -> dict[str, Any]:
    """A complete content; equal arguments give equal contents."""
    random = np.random.default_rng(7)
    groups = random.random((samples, len(identities))) < 0.5
    lean = random.normal(0.3, 0.9, (len(attributes), len(identities)))
    base = random.uniform(-1.2, 0.2, len(attributes))
    base[-1] = -4.2
    truth = base + (groups * 2 - 1) @ lean.T * 0.5 + random.normal(0, 1, (samples, len(attributes)))
    labels = (truth > 0).astype(int)
    hard = random.uniform(0.4, 2.2, len(attributes))

    def logits(level: float, seed: int) -> np.ndarray:
        own = np.random.default_rng([seed, int(1000 * level)])
        loss = max(0.0, level - 0.75) / 0.23
        noise = own.normal(0, 1, truth.shape) * (0.35 + 0.5 * loss**3)
        shared = np.random.default_rng(99).normal(0, 1, truth.shape) * hard
        bias = ((groups * 2 - 1) @ lean.T) * 0.5 * loss**2
        return (truth * (2.4 - 1.1 * loss) + shared + noise + bias) * (1.9 - 0.9 * loss)

    ids = ["dense"] + [f"gmp@sparsity={level:g}" for level in levels]
    outputs = {"dense": [logits(0.0, seed) for seed in range(seeds)]}
    outputs |= {
        name: [logits(level, seed) for seed in range(seeds)] for name, level in zip(ids[1:], levels, strict=True)
    }

    conditions = [
        {
            "id": name,
            "role": "compressed" if index else "dense",
            "model": "three conv",
            "method": "gmp" if index else "dense",
            "axis": "sparsity",
            "level": levels[index - 1] if index else 0.0,
            "seeds": list(range(seeds)),
            "pairing": "seed" if index else "",
            "notes": [],
        }
        for index, name in enumerate(ids)
    ]
    counts = {
        (name, t, a): [_counts(groups[:, a], labels[:, t], z[:, t] > 0) for z in outputs[name]]
        for name in ids
        for t in range(len(attributes))
        for a in range(len(identities))
    }
    pairs = [
        _pair(name, attributes[t], identities[a], counts[("dense", t, a)], counts[(name, t, a)], lean[t, a], samples)
        for name in ids[1:]
        for t in range(len(attributes))
        for a in range(len(identities))
    ]
    histograms = [
        {
            "condition": name,
            "attribute": attributes[t],
            "identity": identities[a],
            "bins": 100,
            "counts": _histogram(groups[:, a], labels[:, t], [z[:, t] for z in outputs[name]]),
        }
        for name in ids
        for t in range(len(attributes))
        for a in range(len(identities))
    ]
    content = {
        "schema": "tamis.audit/1",
        "task": "multilabel",
        "attributes": list(attributes),
        "identities": list(identities),
        "conditions": conditions,
        "verdict": _verdict(state),
        "policy": _policy(pairs, state),
        "provenance": _provenance(conditions, samples),
        "curves": _curves(ids, outputs, labels, pairs),
        "pairs": pairs,
        "attribute_values": [],
        "group_values": [],
        "histograms": histograms,
        "exemplars": [
            _exemplars(name, outputs["dense"], outputs[name], labels, groups, attributes, identities)
            for name in ids[1:]
        ],
        "criteria": _criteria(ids[1:], pairs, attributes, identities),
        "countermeasures": _countermeasures(ids[1:]),
        "undefined": [
            {
                "condition": p["condition"],
                "metric": "ba",
                "attribute": p["attribute"],
                "identity": p["identity"],
                "reason": p["reason"],
                "words": REASONS[p["reason"]],
            }
            for p in pairs
            if p["reason"]
        ],
        "lost": [
            {"attribute": attributes[-1], "identity": identities[0], "condition": ids[-1], "reason": "never_predicted"}
        ],
        "reasons": REASONS,
    }
    return json.loads(json.dumps(content))


def renamed(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The same content with other names: every text that is a key of ``names`` exactly, keys of objects included."""

    def exchange(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(key, key): exchange(part) for key, part in value.items()}
        if isinstance(value, list):
            return [exchange(part) for part in value]
        return names.get(value, value) if isinstance(value, str) else value

    return exchange(copy.deepcopy(dict(content)))


def _counts(group: np.ndarray, label: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.bincount(4 * group + 2 * label + predicted, minlength=8).reshape(2, 2, 2)


def _histogram(group: np.ndarray, label: np.ndarray, logits: Sequence[np.ndarray]) -> list[Any]:
    total = np.zeros((2, 2, 100), np.int64)
    for z in logits:
        bins = np.minimum(99, np.floor(100 / (1 + np.exp(-z)))).astype(int)
        np.add.at(total, (group.astype(int), label, bins), 1)
    return total.tolist()


def _amplification(counts: np.ndarray, toward: int) -> float | None:
    predicted, labelled = counts[:, :, 1].sum(1), counts[:, 1, :].sum(1)
    return float(predicted[toward] / predicted.sum() - labelled[toward] / labelled.sum()) if predicted.sum() else None


def _pair(name: str, attribute: str, identity: str, dense: Any, compressed: Any, lean: float, samples: int) -> Any:
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


def _curves(ids: Sequence[str], outputs: Mapping[str, Any], labels: np.ndarray, pairs: Sequence[Any]) -> list[Any]:
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


def _exemplars(
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


def _criteria(names: Sequence[str], pairs: Sequence[Any], attributes: Any, identities: Any) -> Any:
    rows = []
    for t, attribute in enumerate(attributes):
        for identity in identities:
            pair = next(p for p in pairs if p["attribute"] == attribute and p["identity"] == identity)
            u, c = 0.08 + 0.06 * t, 0.05 + 0.04 * ((7 * t) % 10)
            rows.append(
                {
                    "attribute": attribute,
                    "identity": identity,
                    "uncertainty": u,
                    "error": u / 3,
                    "correlation": c,
                    "rarity": 0.3,
                    "dense_ba": pair["dense"]["mean"],
                    "score": c * u,
                    "rank": 0,
                }
            )
    rows.sort(key=lambda row: -row["score"])
    for rank, row in enumerate(rows, 1):
        row["rank"] = rank
    names_and_rho = [(name, rho) for name, rho in zip(names, (0.02, 0.05, 0.11, 0.60, 0.82), strict=False)]
    evidence = [
        {
            "condition": name,
            "criterion": criterion,
            "spearman": rho - less,
            "p": 0.8 if rho < 0.2 else 0.004,
            "n": len(rows),
            "top": round(len(rows) / 4),
            "top_risen": round(rho * len(rows) / 4),
            "risen": round(rho * len(rows) / 2),
            "reason": "",
        }
        for name, rho in names_and_rho
        for criterion, less in (("cu", 0.0), ("ce", 0.02), ("u", 0.15), ("c", 0.3), ("rarity", 0.5), ("dense_ba", 0.2))
    ]
    samples = [
        {
            "condition": name,
            "attribute": "",
            "auroc": 0.98 - 0.02 * i,
            "flagged": 1 - 0.03 * i,
            "base": 0.31,
            "flips": 200 + 300 * i,
            "reason": "",
        }
        for i, name in enumerate(names)
    ]
    return {"attributes": rows, "evidence": evidence, "samples": samples}


def _countermeasures(names: Sequence[str]) -> Any:
    widths = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.51)

    def curve(name: str, index: int, reference: str, gate: str) -> Any:
        worst, best = 0.05 + 0.01 * index, 0.02 if reference == "human" else 0.035
        points = []
        for width in widths:
            asked = min(1.0, (1.6 if gate == "compressed" else 1.1) * width) if width < 0.5 else 1.0
            gain = asked ** (0.45 if gate == "compressed" else 0.6)
            points.append(
                {
                    "half_width": width,
                    "fraction": estimate([asked], 0.004),
                    "accuracy": estimate(
                        [0.91 - 0.012 * index + (0.012 * index + (0.06 if reference == "human" else 0)) * gain], 0.004
                    ),
                    "ba": estimate([worst + (best - worst) * gain], 0.005),
                    "tcb": estimate([0.8 + 0.15 * gain], 0.01),
                }
            )
        return {"condition": name, "reference": reference, "gate": gate, "points": points}

    return {
        "calibration": [
            {
                "condition": name,
                "mode": mode,
                "accuracy": estimate([0.91 - 0.01 * i - less], 0.003),
                "tcb": estimate([tcb], 0.01),
                "ba": estimate([(0.035 + 0.008 * i) * keep], 0.004),
                "ba_max": estimate([(0.11 + 0.02 * i) * keep], 0.02),
            }
            for i, name in enumerate(names)
            for mode, less, tcb, keep in (("zero", 0.0, 0.9 - 0.02 * i, 1.0), ("calibrated", 0.002, 0.97, 0.83))
        ],
        "override": [
            curve(name, i, reference, "dense") for i, name in enumerate(names) for reference in ("dense", "human")
        ],
        "cascade": [curve(name, i, "dense", "compressed") for i, name in enumerate(names)],
    }


def _verdict(state: str) -> Any:
    words = {
        "fail": "The policy is not met: 2 checks fail, 32 warn.",
        "warn": "No rule is broken beyond doubt, but some values lie above their limits.",
        "pass": "All rules are met.",
        "none": "No policy was given, so there is no verdict.",
    }[state]
    return {"state": state, "exit_code": {"fail": 1, "none": 0}.get(state, 0), "words": words}


MEANS = (
    ("accuracy_drop", 0.049, 0.02, "max"),
    ("uncertainty_rise", 0.11, 0.12, "max"),
    ("cie_share", 0.089, 0.05, "max"),
    ("tcb_relative", 0.88, 0.8, "min"),
)


def _policy(pairs: Sequence[Any], state: str) -> Any:
    if state == "none":
        return None
    rows = [_row(0, "ba_change", "each", pair, pair["change"], 0.03, "max") for pair in pairs]
    for rule, (metric, value, limit, side) in enumerate(MEANS, 1):
        rows.append(_row(rule, metric, "mean", pairs[-1], estimate([value], 0.008), limit, side))
    allowed = {"fail": {"fail", "warn", "pass"}, "warn": {"warn", "pass"}, "pass": {"pass"}}[state]
    rows = [row for row in rows if row["state"] in allowed]
    rows.sort(key=lambda row: ({"fail": 0, "warn": 1, "pass": 2}[row["state"]], row["rule"]))
    return {"strict": False, "on_undefined": "warn", "warnings_as_errors": False, "rows": rows}


def _row(rule: int, metric: str, over: str, pair: Any, found: Any, limit: float, side: str) -> Any:
    value, ends = found["mean"], found["interval"] or {"lo": None, "hi": None}
    state = "warn"
    if value is not None:
        sign = 1 if side == "max" else -1
        near = ends["lo"] if side == "max" else ends["hi"]
        state = "pass" if sign * value <= sign * limit else "fail" if sign * near > sign * limit else "warn"
    place = {"attribute": pair["attribute"], "identity": pair["identity"]} if over == "each" else {}
    return {
        "rule": rule, "name": f"{metric} ({over}) {'<=' if side == 'max' else '>='} {limit:g}", "metric": metric,
        "over": over, "condition": pair["condition"], "attribute": "", "identity": "", **place, "group": None,
        "value": value, "lo": ends["lo"], "hi": ends["hi"], "limit": limit, "side": side, "state": state,
        "severity": "error", "reason": found["reason"], "words": f"{metric}: {state}.",
    }  # fmt: skip


def _provenance(conditions: Sequence[Any], samples: int) -> Any:
    models = [
        {
            "condition": c["id"],
            "model": c["model"],
            "method": c["method"],
            "axis": c["axis"],
            "level": c["level"],
            "seed": seed,
            "dense_seed": seed,
            "sha256": f"{17 * i + seed:064x}",
            "meta": {"recipe": {"epochs": 10}},
        }
        for i, c in enumerate(conditions)
        for seed in c["seeds"]
    ]
    return {
        "tamis": "0.1.0",
        "numpy": "2.4.6",
        "python": "3.11.7",
        "command": "tamis audit run --dense dense.npz --compressed gmp.npz --labels test.npz --policy policy.toml",
        "settings": {
            "min_positives": 10,
            "min_gap": "1/10",
            "uncertainty": 0.4,
            "ci": 0.95,
            "n_boot": 2000,
            "support": "common",
            "seed": 0,
        },
        "models": models,
        "labels": {"samples": samples, "sha256": "a" * 64, "missing": {}, "clusters": None},
        "train": {"samples": 5028, "sha256": "b" * 64},
        "valid": None,
        "thresholds": {"source": "zero", "values": []},
        "notes": [],
    }
