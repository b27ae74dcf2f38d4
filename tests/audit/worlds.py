"""Small made-up audits: labels that go with an identity, dense models that know them well, compressed ones less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tamis.audit import Labels, Outputs, Validation

ATTRIBUTES = ("Smiling", "Hat", "Rare")
IDENTITIES = ("Male", "Young")
SKEW = np.array([[1.2, -0.8, 0.9], [0.1, 0.7, -0.6]])
OFFSET = np.array([0.0, -0.6, -2.0])


def labels_of(n: int, seed: int, prefix: str = "img", clusters: int = 0) -> Labels:
    """``n`` samples with three attributes that lean to one side of two identities."""
    rng = np.random.default_rng(seed)
    member = rng.random((n, 2)) < 0.5
    score = OFFSET + (member - 0.5) @ SKEW + rng.logistic(size=(n, 3))
    values = np.hstack([score > 0, member])
    ids = np.array([f"{prefix}{i:05d}" for i in range(n)])
    cluster = rng.integers(0, clusters, n) if clusters else None
    return Labels(values, ids, (*ATTRIBUTES, *IDENTITIES), cluster)


def outputs_of(labels: Labels, noise: float, seed: int, lean: float = 0.0, **about: Any) -> Outputs:
    """A model: logits around the truth, less sure with more noise, and leaning to the identities by ``lean``."""
    rng = np.random.default_rng([seed, int(1000 * noise), int(1000 * lean)])
    truth, member = labels.values[:, :3].astype(float), labels.values[:, 3:].astype(float)
    logits = 3 * (2 * truth - 1) + lean * (member - 0.5) @ SKEW + 0.3 * OFFSET + noise * rng.normal(size=truth.shape)
    return Outputs(logits.astype(np.float32), labels.ids, ATTRIBUTES, seed=seed, **about)


def world(
    n: int = 600,
    seeds: int = 3,
    levels: tuple[float, ...] = (0.9, 0.98),
    clusters: int = 0,
    valid: bool = False,
) -> dict[str, Any]:
    """Arguments of ``audit`` with dense models and one compressed condition for each level."""
    labels = labels_of(n, 1, clusters=clusters)
    train = replace(labels_of(4 * n, 2, "train"), cluster=None)

    def models(truth: Labels) -> tuple[list[Outputs], list[Outputs]]:
        dense = [outputs_of(truth, 2.0, seed, model="net", method="dense") for seed in range(seeds)]
        compressed = [
            outputs_of(truth, 2 + 3 * level**4, seed, 3 * level**8, model="net", method="gmp", level=level)
            for level in levels
            for seed in range(seeds)
        ]
        return dense, compressed

    dense, compressed = models(labels)
    found = {
        "dense": dense,
        "compressed": compressed,
        "labels": labels,
        "train_labels": train,
        "groups": IDENTITIES,
        "attributes": ATTRIBUTES,
    }
    if valid:
        held_out = labels_of(n, 3, "valid")
        found["valid"] = Validation(held_out, [model for side in models(held_out) for model in side])
    return found
