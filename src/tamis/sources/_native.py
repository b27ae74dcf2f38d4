"""The native pair solver (csrc/source_pairs.h) on packed sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tamis.sources._packing import PackedSource
from tamis.sources._pair import Wanted


def estimate_natively(
    packed: Sequence[PackedSource], oriented: NDArray[np.int64], wanted: Wanted, threads: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """As :func:`tamis.sources._compare.estimate_with_numpy`, on torch's threads or on the calling one.

    The interpreter lock is released meanwhile.
    """
    used, local = np.unique(oriented, return_inverse=True)
    sources = [packed[s] for s in used.tolist()]
    summaries = [source.summary for source in sources]
    row_ptr = np.concatenate([[0], np.cumsum([len(source.rows) for source in sources])]).astype(np.int64)
    statistics = np.stack([np.stack([s.centre, s.mean, s.variance]) for s in summaries])
    values, failed = torch.ops.tamis.source_pairs(
        torch.from_numpy(np.concatenate([source.rows for source in sources])),
        torch.from_numpy(np.concatenate([source.counts for source in sources])),
        torch.from_numpy(row_ptr),
        torch.from_numpy(statistics),
        torch.from_numpy(np.ascontiguousarray(local.reshape(oriented.shape), dtype=np.int64)),
        [int(wanted.discrepancy), int(wanted.signed), int(wanted.published)],
        wanted.gtol,
        wanted.max_iter,
        threads,
    )
    return values.numpy(), failed.numpy()
