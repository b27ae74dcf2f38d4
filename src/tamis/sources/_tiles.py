"""The pair matrix in tiles: each is one task that needs few sources and returns few numbers.

Tasks run through scikit-learn's front of joblib, so that ``joblib.parallel_config`` sends them to processes of this
machine, Dask or Ray alike.  A pair's numbers depend on its two sources only: tiles change no bit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed
from tqdm import tqdm

from tamis.sources._compare import compare
from tamis.sources._packing import PackedSource
from tamis.sources._pair import Wanted

LARGEST_SIDE = 50  # sources; 100 of 200 rows and 37 columns are 6 MB
SMALLEST_SIDE = 10
TILES_A_SIDE = 8


def compare_in_tiles(
    packed: Sequence[PackedSource],
    pairs: NDArray[np.int64],
    wanted: Wanted,
    n_jobs: int | None = None,
    progress: bool = False,
    side: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """As :func:`tamis.sources._compare.compare`, tile by tile.

    Args:
        packed: all sources.
        pairs: int64 ``(P, 2)``.
        wanted: which estimates.
        n_jobs: processes, as everywhere in scikit-learn; None or 1 solves here, on torch's threads.
        progress: show a bar on standard error.
        side: sources along a side of a tile; None chooses.
    """
    values, failed = np.full((len(pairs), 4), np.nan), np.zeros(len(pairs), dtype=np.int64)
    if side is None:
        side = min(max(-(-len(packed) // TILES_A_SIDE), SMALLEST_SIDE), LARGEST_SIDE)
    tiles = list(_tiles(pairs, side))
    tasks = (_task(packed, pairs[tile], wanted) for tile in tiles)
    try:
        workers = Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # a backend of joblib that can only return all at once
        workers = Parallel(n_jobs=n_jobs)
    results = workers(tasks)
    with tqdm(total=len(pairs), desc="pairs of sources", unit="pair", disable=not progress) as bar:
        for tile, (of_tile, failed_of_tile) in zip(tiles, results, strict=True):
            values[tile], failed[tile] = of_tile, failed_of_tile
            bar.update(len(tile))
    return values, failed


def _tiles(pairs: NDArray[np.int64], side: int) -> Iterator[NDArray[np.int64]]:
    """Places in ``pairs`` that belong to one tile, tile by tile."""
    if not len(pairs):
        return
    blocks = np.sort(pairs // side, axis=1)
    _, tile = np.unique(blocks, axis=0, return_inverse=True)
    order = np.argsort(tile.reshape(-1), kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(tile.reshape(-1)[order])) + 1)


def _task(packed: Sequence[PackedSource], pairs: NDArray[np.int64], wanted: Wanted):
    used, local = np.unique(pairs, return_inverse=True)
    here = (os.getpid(), threading.get_ident())
    return delayed(_solve)([packed[s] for s in used.tolist()], local.reshape(pairs.shape), wanted, here)


def _solve(
    packed: Sequence[PackedSource], pairs: NDArray[np.int64], wanted: Wanted, caller: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One tile; only the calling thread itself uses torch's other threads."""
    return compare(packed, pairs, wanted, threads=(os.getpid(), threading.get_ident()) == caller)
