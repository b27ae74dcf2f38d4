"""The solver for pairs of data sources and the merging of equal rows, against NumPy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from problems._draw import Answer, Draw, Problem
from tamis.sources._compare import estimate_with_numpy
from tamis.sources._merging import merge_natively, merge_with_numpy
from tamis.sources._native import estimate_natively
from tamis.sources._packing import PackedSource, pack_source
from tamis.sources._pair import Wanted

ROUNDING = 1e-9
Table = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def _tables(draw: Draw, seed: int) -> list[Table]:
    """Sources of unequal size whose labels and groups follow the features; each has both groups."""
    rng = np.random.default_rng(seed)
    columns, grid = draw.size(20), draw.chance(0.4)
    direction = rng.normal(size=columns)
    tables = []
    for _ in range(draw.whole(2, 5)):
        n = draw.whole(12, draw.pick((40, 150)))
        X = rng.normal(size=(n, columns)) * draw.pick((1.0, 1.0, 100.0)) + draw.pick((0.0, 0.0, 1000.0))
        X = np.round(X) if grid else X
        noise = rng.normal(size=(2, n)) * np.linalg.norm(direction) * max(X.std(), 1)
        centred = X - X.mean(axis=0)
        y, a = (centred @ direction + noise[0] > 0).astype(int), (centred[:, 0] + noise[1] > 0).astype(int)
        a[:2] = (0, 1)
        tables.append((X, y, a))
    return tables


def _disturbed(tables: list[Table], rng: np.random.Generator) -> list[PackedSource]:
    """The sources with features changed in the ninth digit."""
    return [pack_source(X * (1 + 1e-9 * rng.normal(size=X.shape)), y, a) for X, y, a in tables]


def _all_pairs(sources: int) -> NDArray[np.int64]:
    return np.stack(np.triu_indices(sources, 1), axis=1).astype(np.int64)


def pairs(draw: Draw) -> Problem:
    """Discrepancy and signed disparity of all pairs: convex fits.

    They count decisions of fitted classifiers; where a row lies on the boundary, rounding decides.  Such pairs, found
    by disturbing the features, are left out of the comparison.
    """
    seed = draw.whole(0, 2**31)
    tables = _tables(draw, seed)
    rng, which, wanted = np.random.default_rng(seed + 1), _all_pairs(len(tables)), Wanted(discrepancy=True, signed=True)
    packed = [pack_source(*table) for table in tables]
    exact, failed = estimate_with_numpy(packed, which, wanted)
    clear = np.ones(len(which), dtype=bool)
    for _ in range(3):
        other, other_failed = estimate_with_numpy(_disturbed(tables, rng), which, wanted)
        clear &= (np.abs(other - exact)[:, :2] <= ROUNDING).all(axis=1) & (failed == other_failed)
    threads = draw.chance(0.5)

    def compute() -> dict[str, Tensor]:
        values, missed = estimate_natively(packed, which, wanted, threads)
        return {
            "values": torch.from_numpy(values[clear, :2].copy()), "failed": torch.from_numpy(missed[clear].copy())
        }  # fmt: skip

    text = f"source pairs, {[X.shape for X, _, _ in tables]}, {int(clear.sum())} of {len(which)} pairs clear"
    found = {"values": Answer(torch.from_numpy(exact[clear, :2].copy()), ROUNDING)}
    return Problem(text, {**found, "failed": Answer(torch.from_numpy(failed[clear].copy()))}, compute)


def published(draw: Draw) -> Problem:
    """The published disparity, by BFGS on an objective that is not convex and has all but a kink.

    On some pairs the last digit of the features decides where BFGS ends, in NumPy as in the native solver.  So both
    solve the pairs and five disturbed copies of them: each pair must have an end that both solvers found.  Pairs that
    have more than one end in NumPy are left out: disturbed often enough, by 1e-12 too, such a pair has a dozen.  Five
    copies can miss that, so where the solvers disagree NumPy solves forty more before it counts.
    """
    seed = draw.whole(0, 2**31)
    tables = _tables(draw, seed)[:3]
    rng, which, wanted = np.random.default_rng(seed + 1), _all_pairs(len(tables)), Wanted(published=True)
    versions = [[pack_source(*table) for table in tables], *(_disturbed(tables, rng) for _ in range(5))]
    ends = np.stack([estimate_with_numpy(packed, which, wanted)[0][:, 2:] for packed in versions])
    clear = _one_end(ends)
    threads = draw.chance(0.5)

    def compute() -> dict[str, Tensor]:
        own = np.stack([estimate_natively(packed, which, wanted, threads)[0][:, 2:] for packed in versions])
        nearest = np.abs(own[:, None] - ends[None]).min(axis=(0, 1))
        if (nearest[clear] > ROUNDING).any():
            copies = (_disturbed(tables, rng) for _ in range(40))
            nearest[~_one_end(np.stack([estimate_with_numpy(copy, which, wanted)[0][:, 2:] for copy in copies]))] = 0
        return {"distance": torch.from_numpy(nearest[clear])}

    text = f"published disparity, {[X.shape for X, _, _ in tables]}, {int(clear.sum())} of {clear.size} clear"
    return Problem(text, {"distance": Answer(torch.zeros(int(clear.sum()), dtype=torch.float64), ROUNDING)}, compute)


def _one_end(ends: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where all copies, the first axis, end at the same number."""
    return np.ptp(ends.round(8), axis=0) == 0


def merging(draw: Draw) -> Problem:
    """Unique rows with counts, centred."""
    rng = np.random.default_rng(draw.whole(0, 2**31))
    n, d = draw.size(300), draw.size(20)
    X = rng.integers(0, draw.pick((1, 2, 3, 1000)), (n, d)) * draw.pick((0.1, 1.0)) + draw.pick((0.0, 1e9))
    X = np.where(rng.random((n, d)) < 0.05, -0.0, X)
    cells = rng.integers(0, 4, n)
    exact = merge_with_numpy(X, cells)
    scale = max(float(np.abs(X).max()), 1.0) * 1e-14
    found = {
        "rows": Answer(torch.from_numpy(exact.rows), scale),
        "counts": Answer(torch.from_numpy(exact.counts)),
        "centre": Answer(torch.from_numpy(exact.statistics[0]), scale),
        "variance": Answer(
            torch.from_numpy(exact.statistics[2]),
            torch.from_numpy(1e-9 * exact.statistics[2] + scale * np.maximum(np.sqrt(exact.statistics[2]), 1)),
        ),
    }

    def compute() -> dict[str, Tensor]:
        rows, counts, statistics = merge_natively(X, cells)
        results = {"rows": rows, "counts": counts, "centre": statistics[0], "variance": statistics[2]}
        return {name: torch.from_numpy(value) for name, value in results.items()}

    return Problem(f"merging of {n} rows of {d} numbers", found, compute)


SOURCES = {"pairs": (1, pairs), "published": (0.5, published), "merging": (1, merging)}
