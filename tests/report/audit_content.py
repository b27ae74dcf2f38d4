"""The content of an audit (schema tamis.audit/1) from simulated logits: every number follows from counts.

Independent of tamis.audit, so that the page can be tested with any shape, name and fault.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from audit_judgements import countermeasures, criteria, policy, provenance, verdict
from audit_measurements import counts_of, curves, exemplars, histogram, pair

ATTRIBUTES = ("Loop", "Even", "Big", "Straight", "Thick", "Slanted", "Wide", "TopHeavy", "Dark", "VerySlanted")
IDENTITIES = ("Warm", "Striped")
LEVELS = (0.8, 0.9, 0.95, 0.97, 0.98)
SMALL = {"attributes": ("Smiling", "Glasses"), "levels": (0.9,), "samples": 300, "seeds": 1}
REASONS = {
    "too_few_positives": "Fewer than 10 true positives in one of the two groups of the test set.",
    "no_train_gap": "The training set does not favour either group: their rates differ by less than a tenth.",
    "never_predicted": "The model never predicts this attribute, so there is nothing to compare.",
    "too_few_seeds": "Fewer than five seeds: the spread between trainings is shown as dots, without an interval.",
    "constant_prediction": "All predictions of the attribute are equal.",
}


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
        (name, t, a): [counts_of(groups[:, a], labels[:, t], z[:, t] > 0) for z in outputs[name]]
        for name in ids
        for t in range(len(attributes))
        for a in range(len(identities))
    }
    pairs = [
        pair(name, attributes[t], identities[a], counts[("dense", t, a)], counts[(name, t, a)], lean[t, a], samples)
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
            "counts": histogram(groups[:, a], labels[:, t], [z[:, t] for z in outputs[name]]),
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
        "verdict": verdict(state),
        "policy": policy(pairs, state),
        "provenance": provenance(conditions, samples),
        "curves": curves(ids, outputs, labels, pairs),
        "pairs": pairs,
        "attribute_values": [],
        "group_values": [],
        "histograms": histograms,
        "exemplars": [
            exemplars(name, outputs["dense"], outputs[name], labels, groups, attributes, identities) for name in ids[1:]
        ],
        "criteria": criteria(ids[1:], pairs, attributes, identities),
        "countermeasures": countermeasures(ids[1:]),
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
