"""What the cells of the study of sources say together: means over seeds, the worst adversary, kept bad sources."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.study._source_study import ADVERSARIES, LEARNERS, METHODS

Row = Mapping[str, Any]
CONSTANT = ("original", "oracle")  # methods that no adversary touches


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (ddof 0, as published) over ``n`` seeds; NaN for none."""

    n: int
    mean: float
    sd: float


def spread(values: Iterable[float]) -> Spread:
    """Mean and standard deviation.

    >>> spread([1.0, 3.0])
    Spread(n=2, mean=2.0, sd=1.0)
    """
    found = [value for value in values if not math.isnan(value)]
    if not found:
        return Spread(0, math.nan, math.nan)
    mean = sum(found) / len(found)
    return Spread(len(found), mean, math.sqrt(sum((value - mean) ** 2 for value in found) / len(found)))


def setting(row: Row) -> tuple[str, int, int]:
    """Data, number of sources, number of bad ones: what one table is about."""
    return row["data"], row["n_sources"], row["n_bad"]


def settings(rows: Sequence[Row]) -> list[tuple[str, int, int]]:
    """All settings, in the order of the rows."""
    return list(dict.fromkeys(setting(row) for row in rows))


def worst_case(rows: Sequence[Row], measure: str) -> dict[tuple[Any, ...], Spread]:
    """By (setting, method, learner): over seeds, the minimum of ``measure`` over the adversaries, as published.

    "original" and "oracle" do not depend on the adversary; the first one present is taken.
    """
    by_seed: dict[tuple[Any, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_seed[setting(row), row["method"], row["learner"]][row["seed"]].append(row[measure])
    return {
        key: spread(values[0] if key[1] in CONSTANT else min(values) for values in seeds.values())
        for key, seeds in by_seed.items()
    }


def kept_bad(rows: Sequence[Row], column: str = "bad_frac") -> dict[tuple[Any, ...], Spread]:
    """By (setting, adversary, method): the share of bad sources among the kept, over seeds; methods that select."""
    found: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for row in rows:
        value = row.get(column)
        if value is not None and value != "":
            found[setting(row), row["adversary"], row["method"]][row["seed"]] = float(value)
    return {key: spread(seeds.values()) for key, seeds in found.items()}


def present(rows: Sequence[Row], key: str) -> list[str]:
    """The adversaries, methods or learners that the rows have, in their usual order."""
    order = {"adversary": ADVERSARIES, "method": METHODS, "learner": LEARNERS}[key]
    found = {row[key] for row in rows}
    return [name for name in order if name in found]
