"""Means over pairs that stay honest when pairs become undefined on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tamis.audit._reasons import Value, mean_of, undefined
from tamis.errors import UsageError

Support = Literal["common", "each"]


@dataclass(frozen=True)
class Aggregate:
    """Means by condition, and what left them.

    Attributes:
        means: condition -> mean over its pairs; undefined (no_pairs) where there are none.
        pairs: condition -> names of the pairs in its mean.
        lost: pair -> the condition that it is undefined in, the earliest given, and why.
    """

    means: Mapping[str, Value]
    pairs: Mapping[str, tuple[str, ...]]
    lost: Mapping[str, tuple[str, str]]


def aggregate(pairs: Sequence[str], values: Mapping[str, Sequence[Value]], support: Support = "common") -> Aggregate:
    """Mean of each condition over pairs.

    Args:
        pairs: names of the pairs.
        values: condition -> one value a pair, in the order of ``pairs``.
        support: ``"common"`` takes only pairs that are defined in every condition; ``"each"`` those defined in the
            condition itself, which compares means of different pairs: for display only.

    Raises:
        UsageError: another support, or lists of the wrong length.
    """
    if support not in ("common", "each"):
        raise UsageError(f"support={support!r}; expected 'common' or 'each'")
    for condition, row in values.items():
        if len(row) != len(pairs):
            raise UsageError(f"{condition}: {len(row)} values for {len(pairs)} pairs; expected one for each")
    lost = {}
    for place, pair in enumerate(pairs):
        for condition, row in values.items():
            if not row[place].defined:
                lost[pair] = (condition, row[place].reason)
                break
    means, kept = {}, {}
    for condition, row in values.items():
        places = [i for i, pair in enumerate(pairs) if (pair not in lost if support == "common" else row[i].defined)]
        kept[condition] = tuple(pairs[i] for i in places)
        means[condition] = mean_of([row[i] for i in places]) if places else undefined("no_pairs")
    return Aggregate(means, kept, lost)
