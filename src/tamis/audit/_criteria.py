"""What the dense models alone foretell: which attributes may get worse, and which samples may flip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tamis.audit._attribute_metrics import auc
from tamis.audit._changes import Changes
from tamis.audit._comparison import Comparison
from tamis.audit._estimates import Estimate, estimate, number
from tamis.audit._inputs import Inputs
from tamis.audit._measure import Measured, parallel, uncertain_samples
from tamis.audit._models import Run
from tamis.audit._pair_changes import Biases
from tamis.audit._ranks import spearman
from tamis.audit._reasons import Value, mean_of, undefined
from tamis.audit._settings import Settings

CRITERIA = ("cu", "ce", "c", "u", "e", "rarity", "dense_ba")


@dataclass(frozen=True)
class AttributeRisk:
    """What the dense models say about one (attribute, identity), given by their numbers.

    Attributes:
        uncertainty: u, the share of uncertain dense predictions.
        error: e, the share of wrong ones.
        correlation: c, the absolute correlation with the identity in the training data.
        rarity: 0 for an attribute as frequent as not in the training data, 1 for one that never or always occurs.
        dense_ba: bias amplification of the dense models.
    """

    attribute: int
    identity: int
    uncertainty: float
    error: float
    correlation: float
    rarity: float
    dense_ba: float

    @property
    def score(self) -> float:
        """c u, by which pairs are ranked; a rank, never a probability."""
        return self.correlation * self.uncertainty

    def criterion(self, name: str) -> float:
        """One of ``CRITERIA``."""
        if name == "cu":
            return self.score
        if name == "ce":
            return self.correlation * self.error
        fields = {"c": "correlation", "u": "uncertainty", "e": "error", "rarity": "rarity", "dense_ba": "dense_ba"}
        return float(getattr(self, fields[name]))


@dataclass(frozen=True)
class SampleEvidence:
    """How well dense uncertainty foretold which predictions flipped.

    Attributes:
        attribute: its number, or None for all together.
        auroc: of ``-|p - 1/2|`` for flips.
        flagged: share of the flips whose dense prediction was uncertain.
        base: share of all predictions that were.
        flips: how many there were, over all seeds.
    """

    attribute: int | None
    auroc: Estimate
    flagged: Estimate
    base: Estimate
    flips: int


def attribute_risks(dense: Measured, biases: Biases, inputs: Inputs) -> list[AttributeRisk]:
    """All pairs whose dense bias amplification is defined, riskiest first; ties by attribute and identity."""
    found = []
    for (k, g), bias in biases.items():
        accuracy = mean_of([row[k] for row in dense.metrics["accuracy"]])
        if not bias.mean.defined or not accuracy.defined:
            continue
        doubt = mean_of([row[k] for row in dense.metrics["uncertainty"]])
        positives, n = inputs.train_rates[k]
        rarity = 1 - 2 * min(positives, n - positives) / n
        correlation = abs(inputs.train[k][g].correlation)
        found.append(AttributeRisk(k, g, doubt.value, 1 - accuracy.value, correlation, rarity, bias.mean.value))
    return sorted(found, key=lambda risk: (-risk.score, risk.attribute, risk.identity))


def rank_evidence(
    risks: Sequence[AttributeRisk], changes: Changes, common: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """How well each criterion foretold the change of bias amplification over the common pairs.

    ``spearman`` is the rank correlation with the change; pairs share their images, so that its ``p`` is too small.
    ``top_risen`` counts hits: of the quarter of the pairs that the criterion ranks highest (``top`` pairs, at least
    one), those whose whole interval of the change, the widest, lies above 0; ``risen`` counts these among all.
    """
    moved = {(pair.attribute, pair.identity): pair.change.mean for pair in changes.pairs}
    kept = [risk for risk in risks if (risk.attribute, risk.identity) in set(common)]
    change = np.array([moved[risk.attribute, risk.identity].value for risk in kept])
    rose = {(pair.attribute, pair.identity) for pair in changes.pairs if _surely_rose(pair.change)}
    top = max(1, round(len(kept) / 4)) if kept else 0
    rows = []
    for name in CRITERIA:
        first = _highest(kept, name)[:top]
        hits, risen = (sum((risk.attribute, risk.identity) in rose for risk in side) for side in (first, kept))
        rho, p = spearman(np.array([risk.criterion(name) for risk in kept]), change)
        rows.append({
            "condition": changes.condition.id, "criterion": name, "spearman": number(rho), "p": number(p),
            "n": len(kept), "top": top, "top_risen": hits, "risen": risen, "reason": rho.reason,
        })  # fmt: skip
    return rows


def _highest(risks: Sequence[AttributeRisk], name: str) -> list[AttributeRisk]:
    """Highest criterion before lower; ties by attribute and identity."""
    return sorted(risks, key=lambda risk: (-risk.criterion(name), risk.attribute, risk.identity))


def _surely_rose(change: Estimate) -> bool:
    return change.interval is not None and change.interval.lo > 0


def sample_evidence(comparison: Comparison, threads: int = 1) -> list[SampleEvidence]:
    """How well the dense models' uncertainty foretells flips: all attributes together, then each."""

    def column(k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return [_flipped(comparison, i, k) for i in range(len(comparison.condition.runs))]

    count = len(comparison.inputs.attributes)
    together = [_pooled(comparison, i) for i in range(len(comparison.condition.runs))]
    found = [_evidence(None, together, comparison)]
    rows = parallel(lambda k: _evidence(k, column(k), comparison), range(count), threads)
    return [*found, *rows]


def doubt(run: Run, column: int) -> np.ndarray:
    """What ranks samples by uncertainty, highest first: -|z|, or -|p - 1/2| of one class; shape (N,)."""
    if run.about.task == "multiclass":
        return -np.abs(run.prob(column) - 0.5)
    return -np.abs(run.logits[:, column])


def _flipped(comparison: Comparison, number: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    run, dense = _both(comparison, number)
    return run.predictions[:, k] != dense.predictions[:, k], doubt(dense, k)


def _pooled(comparison: Comparison, number: int) -> tuple[np.ndarray, np.ndarray]:
    run, dense = _both(comparison, number)
    columns = range(run.logits.shape[1])
    scores = np.concatenate([doubt(dense, k) for k in columns])
    return (run.predictions != dense.predictions).T.ravel(), scores


def _both(comparison: Comparison, number: int) -> tuple[Run, Run]:
    return comparison.condition.runs[number], comparison.dense.condition.runs[comparison.partner(number)]


def _evidence(k: int | None, sides: Sequence[tuple[np.ndarray, np.ndarray]], comparison: Comparison) -> SampleEvidence:
    aurocs, flagged, base, flips = [], [], [], 0
    columns = range(len(comparison.inputs.attributes)) if k is None else [k]
    for place, (flip, scores) in enumerate(sides):
        count = int(flip.sum())
        flips += count
        found = auc(flip, scores)
        aurocs.append(found if found.defined else undefined("all_flips" if count else "no_flips"))
        _, dense = _both(comparison, place)
        doubtful = np.concatenate([_uncertain(dense, column, comparison.settings) for column in columns])
        base.append(Value(float(doubtful.mean())))
        flagged.append(Value(float(doubtful[flip].mean())) if count else undefined("no_flips"))
    seeds = comparison.condition.seeds
    return SampleEvidence(k, estimate(seeds, aurocs), estimate(seeds, flagged), estimate(seeds, base), flips)


def _uncertain(run: Run, column: int, settings: Settings) -> np.ndarray:
    prob = run.prob(column) if run.about.task == "multiclass" else np.zeros(0)
    return uncertain_samples(run, column, prob, settings.uncertainty)


def risks_json(risks: Sequence[AttributeRisk], inputs: Inputs) -> list[Mapping[str, Any]]:
    """The ranking of docs/audit_json.md."""
    return [
        {
            "rank": rank,
            "attribute": inputs.attributes[risk.attribute],
            "identity": inputs.identities[risk.identity],
            "score": risk.score,
            "uncertainty": risk.uncertainty,
            "error": risk.error,
            "correlation": risk.correlation,
            "rarity": risk.rarity,
            "dense_ba": risk.dense_ba,
        }
        for rank, risk in enumerate(risks, 1)
    ]
