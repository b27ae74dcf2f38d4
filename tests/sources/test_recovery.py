"""FLEA on Adult, five sources, two manipulated: what is kept is clean (specification, property 8)."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.sources import ADVERSARIES, FLEA, bad_sources, load_adult, manipulate, pooled, split_sources


@pytest.fixture(scope="module")
def adult(shared_data):
    return load_adult(shared_data / "tab")


@pytest.mark.shared_data
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("adversary", [name for name in ADVERSARIES if name != "none"])
def test_no_bad_source_of_adult_is_kept(adult, adversary, seed):
    bad, random = bad_sources(seed, 5, 2), np.random.RandomState(seed)
    parts, _ = manipulate(split_sources(adult, seed, 5).sources, adversary, bad, adult.sensitive_column, random)
    pool, numbers = pooled(parts), np.repeat(range(5), [len(part.y) for part in parts])
    sieve = FLEA(n_clean=3).fit(pool.X, pool.y, sensitive_features=pool.a, sources=numbers)
    assert sieve.support_[bad].sum() == 0
