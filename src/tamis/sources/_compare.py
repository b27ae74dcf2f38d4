"""Estimating many pairs: natively where the extension is loaded, with NumPy otherwise; equal results up to rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tamis.kernels import native_available
from tamis.sources._native import estimate_natively
from tamis.sources._packing import PackedSource
from tamis.sources._pair import Wanted
from tamis.sources._rounds import estimate_in_rounds, orient
from tamis.sources._terms import Answer, Question, answer


def compare(
    packed: Sequence[PackedSource], pairs: NDArray[np.int64], wanted: Wanted, threads: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Estimate pairs of sources; a pair's numbers depend on its two sources only.

    Args:
        packed: all sources.
        pairs: int64 ``(P, 2)``, indices into ``packed``.
        wanted: which estimates.
        threads: native only: use torch's threads instead of the calling one; changes no bit of the result.

    Returns:
        float64 ``(P, 4)``: discrepancy, signed disparity, published disparity with the pair's first source for the
        loss, and with its second; NaN where not wanted.  int64 ``(P,)``: fits that hit a limit.
    """
    if not len(pairs):
        return np.empty((0, 4)), np.empty(0, dtype=np.int64)
    turned = orient(pairs, [source.summary for source in packed])
    oriented = np.where(turned[:, None], pairs[:, ::-1], pairs)
    if native_available():
        values, failed = estimate_natively(packed, oriented, wanted, threads)
    else:
        values, failed = estimate_with_numpy(packed, oriented, wanted)
    values[turned] = values[turned][:, [0, 1, 3, 2]]
    return values, failed


def estimate_with_numpy(
    packed: Sequence[PackedSource], oriented: NDArray[np.int64], wanted: Wanted
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The reference: the same algorithms in NumPy (see :func:`compare`; pairs as they are, not turned)."""

    def answer_all(batches: Mapping[int, Sequence[Question]]) -> dict[int, list[Answer]]:
        return {s: [answer(packed[s], question) for question in batch] for s, batch in batches.items()}

    # In small groups: a round keeps an inverse Hessian of every pair.
    parts = [
        estimate_in_rounds([source.summary for source in packed], oriented[at : at + 64], wanted, answer_all)
        for at in range(0, len(oriented), 64)
    ]
    return np.concatenate([values for values, _ in parts]), np.concatenate([failed for _, failed in parts])
