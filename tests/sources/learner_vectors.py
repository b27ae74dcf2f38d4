"""Set B of the golden vectors as arrays, and the vectors of learners, adversaries and protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "flea_small.json").read_text())
LEARNERS = VECTORS["learners"]
THREE, ALL = [0, 1, 3], range(5)  # the clean sources, and all
SET_B = VECTORS["sets"][1]["sources"]


def pool_of(numbers: Iterable[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """X, y, a and source number of the pooled sources of set B."""
    chosen = list(numbers)
    return (
        np.concatenate([np.array(SET_B[i]["X"], dtype=float) for i in chosen]),
        np.concatenate([SET_B[i]["y"] for i in chosen]),
        np.concatenate([SET_B[i]["a"] for i in chosen]),
        np.repeat(chosen, [len(SET_B[i]["y"]) for i in chosen]),
    )


def accuracy_and_gap(model: Any) -> tuple[float, float]:
    """Accuracy and mean f(a=0) - mean f(a=1) on the pool of sources 0, 1 and 3, as the vectors give them."""
    X, y, a, _ = pool_of([0, 1, 3])
    decisions = model.predict(X)
    return (decisions == y).mean(), decisions[a == 0].mean() - decisions[a == 1].mean()
