"""Sources of which one is manipulated."""

from __future__ import annotations

import numpy as np
import pytest

from .flea_vectors import Rows


@pytest.fixture
def manipulated() -> Rows:
    """Five sources; the labels of source 1 are flipped."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(750, 3))
    y = (X[:, 0] + 0.3 * rng.normal(size=750) > 0).astype(int)
    a = rng.integers(0, 2, 750)
    s = np.repeat(np.arange(5), 150)
    y[s == 1] = 1 - y[s == 1]
    return Rows(X, y, a, s)
