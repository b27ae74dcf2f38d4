"""A small audit whose models also predict both identities, and how to look up parts of its content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.audit.worlds import ATTRIBUTES, IDENTITIES, world

NAMES = (*ATTRIBUTES, *IDENTITIES)
LEVEL = "gmp@sparsity=0.98"


def with_identities(outputs, labels, noise):
    """The same model with logits of both identities too."""
    rng = np.random.default_rng([outputs.seed, int(1000 * outputs.level)])
    truth = labels.values[:, 3:].astype(float)
    logits = 2 * (2 * truth - 1) + noise * rng.normal(size=truth.shape)
    return replace(outputs, logits=np.hstack([outputs.logits, logits.astype(np.float32)]), names=NAMES)


def identity_world():
    """What :func:`tamis.audit` takes: 500 samples, five seeds, two levels."""
    found = world(n=500, seeds=5, levels=(0.9, 0.98))
    for side in ("dense", "compressed"):
        found[side] = [with_identities(o, found["labels"], 1.5 + 3 * o.level) for o in found[side]]
    return found | {"attributes": NAMES}


def of_level(given, level):
    """The compressed models of a level."""
    return [m for m in given["compressed"] if m.level == level]


def pairs_of(content, condition=LEVEL):
    """The pairs of two different attributes under a condition."""
    return [p for p in content["pairs"] if p["condition"] == condition and p["attribute"] != p["identity"]]
