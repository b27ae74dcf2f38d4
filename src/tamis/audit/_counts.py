"""Contingency tables: every group metric, difference and interval comes from these whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tamis.errors import UsageError


def group_table(group: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """``n[group, y_true, y_pred]``, int64, shape (2, 2, 2).

    Args:
        group: membership, shape (N,), 0, 1, or 255 for unknown.
        y_true: true labels, alike.
        y_pred: predictions, shape (N,), 0 and 1 or bool.

    Rows without membership or label are left out.
    """
    known = (group < 2) & (y_true < 2)
    cell = 4 * group[known].astype(np.intp) + 2 * y_true[known] + y_pred[known]
    return np.bincount(cell, minlength=8).reshape(2, 2, 2)


def pair_table(group: np.ndarray, y_true: np.ndarray, dense: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """``n[8 * group + 4 * y_true + 2 * dense + compressed]``, int64, shape (16,); arguments as in group_table."""
    known = (group < 2) & (y_true < 2)
    cell = 8 * group[known].astype(np.intp) + 4 * y_true[known] + 2 * dense[known] + compressed[known]
    return np.bincount(cell, minlength=16)


def tables_of_pair(cells16: np.ndarray | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The tables ``n[g, y, prediction]`` of the dense and the compressed model from the 16 cells of their pair."""
    table = np.asarray(cells16).reshape(2, 2, 2, 2)
    return table.sum(axis=3), table.sum(axis=2)


def table_of_cells(cells: Sequence[Sequence[int]]) -> np.ndarray:
    """A table from rows (count, group, y_true, y_pred); cells that are not listed are empty."""
    table = np.zeros((2, 2, 2), np.int64)
    for count, group, y_true, y_pred in cells:
        if count < 0 or not {group, y_true, y_pred} <= {0, 1}:
            raise UsageError(f"the cell {(count, group, y_true, y_pred)}: expected a count, then zeros and ones")
        table[group, y_true, y_pred] += count
    return table
