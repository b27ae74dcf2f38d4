"""Everything that an audit measured, and over which attributes and pairs its means go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tamis.audit._aggregate import Aggregate, aggregate
from tamis.audit._calibration import Thresholds
from tamis.audit._changes import Changes
from tamis.audit._comparison import Comparison
from tamis.audit._inputs import Inputs
from tamis.audit._measure import Measured
from tamis.audit._models import Condition
from tamis.audit._pair_changes import Biases
from tamis.audit._settings import Settings


@dataclass(frozen=True)
class Evidence:
    """Everything that was measured, before it becomes plain JSON types.

    Attributes:
        inputs: labels and identities.
        settings: how.
        thresholds: of every model.
        measured: conditions, dense first.
        biases: bias amplification of each of them, in that order.
        support: pairs of each condition's mean.
        comparisons: by condition.
        changes: by condition.
    """

    inputs: Inputs
    settings: Settings
    thresholds: Thresholds
    measured: Sequence[Measured]
    biases: Sequence[Biases]
    support: Aggregate
    comparisons: Mapping[str, Comparison]
    changes: Mapping[str, Changes]

    @property
    def conditions(self) -> list[Condition]:
        """Dense first."""
        return [found.condition for found in self.measured]


def pair_key(k: int, g: int) -> str:
    """How a pair is called in lists of the support: by numbers, since names may look like two names joined."""
    return f"{k}, {g}"


def support_of(measured: Sequence[Measured], biases: Sequence[Biases], settings: Settings) -> Aggregate:
    """Which pairs the means are over, and what left them."""
    pairs = list(biases[0])
    values = {
        side.condition.id: [found[pair].mean for pair in pairs] for side, found in zip(measured, biases, strict=True)
    }
    return aggregate([pair_key(*pair) for pair in pairs], values, settings.support)


def kept_attributes(measured: Sequence[Measured], settings: Settings, metric: str, place: int) -> list[int]:
    """Attributes in the mean of one condition: those whose metric is defined in every run of every condition."""
    sides = list(measured) if settings.support == "common" else [measured[place]]
    columns = range(len(measured[0].metrics[metric][0]))
    return [k for k in columns if all(row[k].defined for side in sides for row in side.metrics[metric])]
