"""One compressed condition beside the dense models: what every comparison of the two needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tamis.audit._delta import two_more
from tamis.audit._estimates import Estimate
from tamis.audit._exemplars import class_mode, majority
from tamis.audit._inputs import Inputs
from tamis.audit._intervals import Interval, seed_interval, unpaired_seed_interval
from tamis.audit._measure import Measured, correct
from tamis.audit._models import Condition, Run
from tamis.audit._reasons import Value, difference, mean_of
from tamis.audit._settings import Settings


@dataclass(frozen=True)
class Comparison:
    """Both sides of a comparison.

    Attributes:
        number: of the condition, which seeds its bootstraps.
        dense: the dense models, measured.
        compressed: the models of one condition, measured.
        inputs: labels and identities.
        settings: levels and draws.
        dense_mode: what most dense models predict, bool, shape (N, K); see :func:`modal_predictions`.
        kept: metric -> attributes that are in its means, because it is defined in every condition.
    """

    number: int
    dense: Measured
    compressed: Measured
    inputs: Inputs
    settings: Settings
    dense_mode: np.ndarray
    kept: Mapping[str, tuple[int, ...]]

    @property
    def condition(self) -> Condition:
        """The compressed models."""
        return self.compressed.condition

    @cached_property
    def weighted_runs(self) -> tuple[tuple[Run, float], ...]:
        """Every run that counts, with its part in the mean change: dense ones negative, compressed ones positive."""
        dense, runs = self.dense.condition.runs, self.condition.runs
        shares = self.condition.dense_shares(len(dense))
        old = [(dense[i], -float(shares[i])) for i in np.flatnonzero(shares)]
        return (*old, *((run, 1 / len(runs)) for run in runs))

    @cached_property
    def exemplars(self) -> np.ndarray:
        """Where the modes of both populations differ, bool, shape (N, K)."""
        return self.dense_mode != modal_predictions(self.condition.runs)

    @cached_property
    def top1_influence(self) -> np.ndarray | None:
        """What each row adds to the loss of accuracy of the chosen class, to first order; None without a softmax."""
        if self.condition.runs[0].about.task != "multiclass":
            return None
        known = (self.inputs.y < 2).all(axis=0)
        if not known.any():
            return np.zeros(len(self.inputs.ids))
        lost = -np.sum([share * correct(run, self.inputs) for run, share in self.weighted_runs], axis=0)
        return np.where(known, lost - lost[known].mean(), 0.0) / int(known.sum())

    @cached_property
    def same_models(self) -> bool:
        """Whether each compressed run has the very logits of its dense one, so that nothing can have changed.

        They must take at least ``min_cell`` values: two models may well give the same two hard answers to few samples.
        """
        dense, partners = self.dense.condition.runs, self.condition.partners
        return bool(partners) and all(
            np.array_equal(run.logits, dense[partner].logits)
            and np.array_equal(run.thresholds, dense[partner].thresholds)
            and len(np.unique(run.logits)) >= self.settings.min_cell
            for run, partner in zip(self.condition.runs, partners, strict=True)
        )

    def spare(self, *steps: float) -> float:
        """The variance of :func:`two_more` rows; none between models that are the same."""
        return 0.0 if self.same_models else two_more(*steps)

    def partner(self, number: int) -> int:
        """The dense run beside which a compressed run is looked at sample by sample; the lowest seed if unpaired."""
        return self.condition.partners[number] if self.condition.partners else 0

    def change(
        self, dense: Sequence[Value], compressed: Sequence[Value], intervals: Sequence[Interval] = ()
    ) -> Estimate:
        """Compressed less dense, seed by seed where seeds match, with the seed interval beside those given."""
        partners, ci = self.condition.partners, self.settings.ci
        base = [dense[partner] for partner in partners] if partners else [mean_of(dense)] * len(compressed)
        values = [difference(c, d) for c, d in zip(compressed, base, strict=True)]
        mean = mean_of(values)
        seeds = tuple(zip(self.condition.seeds, values, strict=True))
        if not mean.defined:
            return Estimate(mean, seeds)
        ours = [value.value for value in compressed]
        if partners:
            over_seeds = seed_interval([value.value for value in base], ours, ci=ci)
        else:
            over_seeds = unpaired_seed_interval([value.value for value in dense], ours, ci=ci)
        return Estimate(mean, seeds, (*intervals, *((over_seeds.interval,) if over_seeds.interval else ())))

    def dense_estimate(self, values: Sequence[Value]) -> Estimate:
        """The dense side of this condition: the runs that its models are compared with."""
        partners = list(self.condition.partners) or list(range(len(values)))
        base = self.dense.condition
        seeds = tuple((base.seeds[i], values[i]) for i in sorted(set(partners)))
        return Estimate(mean_of([values[i] for i in partners]), seeds)


def modal_predictions(runs: Sequence[Run]) -> np.ndarray:
    """What most runs predict, bool, shape (N, K): by attribute, or for one softmax the class that most choose."""
    if runs[0].about.task == "multiclass":
        classes = runs[0].logits.shape[1]
        chosen = class_mode(np.stack([run.logits.argmax(axis=1) for run in runs]), classes)
        return chosen[:, None] == np.arange(classes)
    if len(runs) == 1:
        return runs[0].predictions
    return majority(np.stack([run.predictions for run in runs]))
