"""The multinomial bootstrap of a table: what resampling all rows would give, without touching a row."""

from __future__ import annotations

import numpy as np

FEW = 16  # cells of at most this many rows are cheaper to draw row by row than by one binomial each
BLOCK = 1 << 20  # rows drawn at once


def draw_sums(counts: np.ndarray, weights: np.ndarray, n_boot: int, rng: np.random.Generator) -> np.ndarray:
    """Weighted sums of resampled tables, float64, shape (n_boot, q).

    Each draw takes ``counts.sum()`` rows with replacement: the cells are multinomial with shares ``counts / total``,
    and ``draw @ weights`` is what the caller's statistic needs of them.  Rare cells are drawn as rows of a common
    urn, which is the same distribution in less time.

    Args:
        counts: rows in each cell, int64, shape (cells,).
        weights: what a row of each cell adds to each sum, shape (cells, q).
        n_boot: draws.
        rng: the source of chance.
    """
    total = int(counts.sum())
    large = counts > FEW
    urn = np.repeat(np.flatnonzero(~large), counts[~large])
    shares = np.append(counts[large], len(urn)) / max(total, 1)
    drawn = rng.multinomial(total, shares, size=n_boot) if total else np.zeros((n_boot, len(shares)), np.int64)
    sums = drawn[:, :-1].astype(np.float64) @ weights[large]
    if len(urn):
        _add_from_urn(sums, drawn[:, -1], urn, weights, rng)
    return sums


def _add_from_urn(
    sums: np.ndarray, sizes: np.ndarray, urn: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> None:
    cells, places = np.unique(urn, return_inverse=True)
    rare = weights[cells]
    step = max(1, BLOCK // max(int(sizes.max()), len(cells)))
    for start in range(0, len(sizes), step):
        block = sizes[start : start + step]
        taken = places[rng.integers(0, len(urn), int(block.sum()))]
        at = np.repeat(np.arange(len(block)) * len(cells), block) + taken
        table = np.bincount(at, minlength=len(block) * len(cells)).reshape(len(block), len(cells))
        sums[start : start + step] += table.astype(np.float64) @ rare
