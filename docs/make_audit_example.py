"""Write docs/audit_example.json: a small report on made-up outputs, for those who read or draw the format.

Run from the repository's root: ``python docs/make_audit_example.py``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import tamis
from tamis.audit import DEFAULT_POLICY, AuditReport, Labels, Outputs, Validation

ATTRIBUTES = ("Smiling", "Hat", "Glasses", "Earrings", "Monocle")
IDENTITIES = ("Male", "Young")
SKEW = np.array([[-0.8, 1.0, 0.5, -2.2, 0.4], [0.1, 0.8, -0.9, 0.6, -0.5]])
OFFSET = np.array([0.0, -1.0, -1.8, -1.2, -2.4])
FADING = np.array([0.0, 0.0, 0.0, 0.0, 9.0])  # the rare attribute is given up at high levels
LEVELS = (0.8, 0.95, 0.98)
WANTED = Path(__file__).parent / "audit_example.json"


def samples(n: int, seed: int, prefix: str) -> Labels:
    """Labels that lean to the identities; every third row shares its person with the two before."""
    rng = np.random.default_rng(seed)
    member = rng.random((n, 2)) < (0.45, 0.7)
    values = np.hstack([OFFSET + (member - 0.5) @ SKEW + rng.logistic(size=(n, 5)) > 0, member])
    return Labels(values, [f"{prefix}{i:04d}" for i in range(n)], (*ATTRIBUTES, *IDENTITIES), np.arange(n) // 3)


def model(labels: Labels, level: float, seed: int) -> Outputs:
    """Logits that know less, and lean more to the identities, the higher the level."""
    rng = np.random.default_rng([seed, len(labels.values)])
    truth, member = labels.values[:, :5].astype(float), labels.values[:, 5:].astype(float)
    common = rng.normal(size=truth.shape)
    change = np.random.default_rng([seed, round(1000 * level)]).normal(size=truth.shape)
    lost = level**8
    logits = (3.2 - 1.6 * lost) * (2 * truth - 1) + 1.6 * common + 1.2 * lost * change
    logits += 1.5 * lost * (member - 0.5) @ SKEW + (0.4 + 0.6 * lost) * OFFSET - lost * FADING
    method = "gmp" if level else "dense"
    return Outputs(logits.astype(np.float32), labels.ids, ATTRIBUTES, "made_up", method, level, seed=seed)


def example(n: int = 600) -> AuditReport:
    """The report of the example."""
    test, valid, train = (
        samples(n, 1, "test"),
        samples(n, 2, "valid"),
        replace(samples(8 * n, 3, "train"), cluster=None),
    )
    report = tamis.audit(
        dense=[model(test, 0.0, seed) for seed in range(3)],
        compressed=[model(test, level, seed) for level in LEVELS for seed in range(3)],
        labels=test,
        train_labels=train,
        groups=IDENTITIES,
        attributes=ATTRIBUTES,
        valid=Validation(valid, [model(valid, level, seed) for level in (0.0, *LEVELS) for seed in range(3)]),
        command="python docs/make_audit_example.py",
    )
    return report.with_policy(DEFAULT_POLICY)


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else WANTED
    print(example().save(path))
