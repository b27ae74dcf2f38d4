"""Values that may be undefined, and why: a reason code instead of a bare NaN or a silent drop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

REASONS = {
    "same_attribute": "The attribute is the identity itself.",
    "empty_train_group": "One of the two groups has no training sample.",
    "too_few_positives": "One of the two groups has too few true positives among the test samples.",
    "no_train_gap": "The training rates of the two groups are too close, so that no direction is defined.",
    "never_predicted": "The model never predicts this value, so that its share by group is 0/0.",
    "no_planted": "No test sample, or no positive one, carries the planted feature.",
    "no_rare_value": "The rarer value of the attribute does not occur among the test samples.",
    "constant_prediction": "All predictions of this attribute are equal, so that they have no variance to explain.",
    "single_class": "All true labels of this attribute are equal.",
    "empty_group": "The group has no sample.",
    "zero_base_rate": "An error rate is 0/0, since no sample has this true label; or its relative change is x/0.",
    "too_few_seeds": "There are too few seeds: an interval over seeds needs five, a test of two populations two each.",
    "too_few_clusters": "Fewer than 20 clusters tell about the value or one of its groups: too few for an interval.",
    "unstable_interval": "More than 5 % of the bootstrap's draws were 0/0.",
    "constant_row": "All probabilities of this sample are equal, so that it has no rank correlation.",
    "small_cell": "The group, or the cell of the intersection, has fewer samples than min_cell.",
    "no_labels": "No test sample has both labels.",
    "no_train_labels": "The training labels do not have this column.",
    "no_predicted_group": "The audited attributes do not include this identity, so that no group is predicted.",
    "no_flips": "No prediction changed, so that there is nothing to foretell.",
    "all_flips": "Every prediction changed, so that there is nothing to tell apart.",
    "no_pairs": "No pair of attribute and identity is defined in every condition.",
    "too_few_pairs": "Fewer than four pairs are defined, which are too few for a rank correlation.",
    "constant": "All values are equal, so that there is no rank correlation.",
    "no_interval": "The value has no interval.",
}


@dataclass(frozen=True)
class Value:
    """A number, or NaN with the code of the reason why there is none (see ``REASONS``)."""

    value: float
    reason: str = ""

    @property
    def defined(self) -> bool:
        """Whether there is a number."""
        return not self.reason


def undefined(reason: str) -> Value:
    """A value that does not exist; ``reason`` is a key of ``REASONS``."""
    assert reason in REASONS, reason
    return Value(math.nan, reason)


def ratio(above: float, below: float, reason: str) -> Value:
    """``above / below``, or undefined for the given reason where ``below`` is 0."""
    return Value(above / below) if below else undefined(reason)


def mean_of(values: Sequence[Value]) -> Value:
    """The mean, undefined for the reason of the first value that is."""
    for value in values:
        if not value.defined:
            return value
    return Value(math.fsum(value.value for value in values) / len(values)) if values else undefined("no_pairs")


def difference(value: Value, reference: Value) -> Value:
    """``value - reference``, undefined if one of them is."""
    if not reference.defined:
        return reference
    return Value(value.value - reference.value) if value.defined else value


# reasons that lie in the data alone: no model could define such a value, so a policy does not ask for it
OF_THE_DATA = frozenset({
    "same_attribute", "empty_train_group", "too_few_positives", "no_train_gap", "no_rare_value", "single_class",
    "empty_group", "zero_base_rate", "small_cell", "no_labels",
})  # fmt: skip
