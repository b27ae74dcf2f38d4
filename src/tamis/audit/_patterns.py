"""Rows with equal labels and predictions as one pattern: tables over patterns replace rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patterns:
    """Distinct rows of small whole numbers.

    Attributes:
        code: which pattern each row has, intp, shape (N,).
        values: the patterns, uint8, shape (P, columns).
    """

    code: np.ndarray
    values: np.ndarray


def patterns_of(columns: Sequence[np.ndarray]) -> Patterns:
    """The patterns that occur among rows with the given columns, each of shape (N,), 0 and 1 (bool or uint8).

    Codes that outgrow a table are numbered anew on the way, so any number of columns works; there are never more than
    N.
    """
    code = np.zeros(len(columns[0]), np.int64)
    values = np.zeros((1, 0), np.uint8)
    room = 1
    most = max(1 << 10, len(code))
    for place, column in enumerate(columns):
        code = 2 * code + column
        room *= 2
        last = place == len(columns) - 1
        if last or room > most:
            present = np.bincount(code, minlength=room) > 0
            kept = np.flatnonzero(present)
            fresh = place + 1 - values.shape[1]
            bits = (kept[:, None] >> np.arange(fresh - 1, -1, -1)) & 1
            values = np.hstack([values[kept >> fresh], bits.astype(np.uint8)])
            code = (np.cumsum(present) - 1)[code]
            room = len(kept)
    return Patterns(code, values)
