"""The golden vectors of FLEA (tests/golden/flea_small.json) as arrays, and random sources."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.sources import FLEA
from tamis.sources._packing import PackedSource, pack_source

CONTENT = json.loads((Path(__file__).parents[1] / "golden" / "flea_small.json").read_text())
SETS = {part["name"]: part for part in CONTENT["sets"]}


@dataclass(frozen=True)
class Rows:
    """Pooled rows of several sources."""

    X: np.ndarray
    y: np.ndarray
    a: np.ndarray
    s: np.ndarray

    def packed(self) -> list[PackedSource]:
        return [pack_source(self.X[self.s == i], self.y[self.s == i], self.a[self.s == i]) for i in np.unique(self.s)]


def rows_of(name: str) -> Rows:
    sources = SETS[name]["sources"]
    X, y, a = (np.concatenate([np.array(source[key]) for source in sources]) for key in ("X", "y", "a"))
    s = np.repeat(np.arange(len(sources)), [len(source["y"]) for source in sources])
    return Rows(X.astype(float), y.astype(int), a.astype(int), s)


def all_pairs(sources: int) -> np.ndarray:
    return np.stack(np.triu_indices(sources, 1), axis=1).astype(np.int64)


def random_rows(seed: int, sources: int = 4, columns: int = 3, most: int = 60, grid: bool = False, **_: Any) -> Rows:
    """Sources of unequal size whose labels and groups follow the features; every source has both groups."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(12, most, sources)
    n = int(sizes.sum())
    X = rng.normal(size=(n, columns))
    if grid:
        X = np.round(X)
    y = (X[:, 0] + rng.normal(size=n) > 0).astype(int)
    a = (X[:, -1] + rng.normal(size=n) > 0).astype(int)
    s = np.repeat(np.arange(sources), sizes)
    for source in range(sources):
        first = np.flatnonzero(s == source)[:2]
        a[first] = (0, 1)
    return Rows(X, y, a, s)


def fit(rows: Rows, **parameters) -> FLEA:
    """The selector, fitted on rows, groups and sources."""
    return FLEA(**parameters).fit(rows.X, rows.y, sensitive_features=rows.a, sources=rows.s)
