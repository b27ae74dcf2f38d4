"""Change of bias amplification from dense to compressed on the same test rows, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamis.audit._bias_amplification import directed_ba
from tamis.audit._bootstrap import draw_sums
from tamis.audit._counts import tables_of_pair
from tamis.audit._intervals import Interval, bootstrap_p, percentile_interval
from tamis.audit._reasons import Value, difference


@dataclass(frozen=True)
class PairedChange:
    """Bias amplification of both models, its change, the interval of the change over test rows, and p of no change."""

    dense: Value
    compressed: Value
    delta: Value
    interval: Interval | None
    p: float | None


@dataclass(frozen=True)
class Cells:
    """Rows of one attribute and identity by group, label and predictions of all models.

    Attributes:
        counts: rows in each cell, int64, shape (cells,).
        group: membership of each cell, 0 and 1.
        y_true: label of each cell.
        dense: predictions of the dense models, shape (cells, dense models).
        compressed: predictions of the compressed models, alike.
        dense_shares: how much each dense model counts in the mean; sums to 1.
        compressed_shares: the same for compressed models.
    """

    counts: np.ndarray
    group: np.ndarray
    y_true: np.ndarray
    dense: np.ndarray
    compressed: np.ndarray
    dense_shares: np.ndarray
    compressed_shares: np.ndarray


@dataclass(frozen=True)
class RowCells:
    """The cells of one pair, and which row has which.

    Attributes:
        cells: of the rows whose label and identity are known.
        rows: their numbers.
        place: the cell of each of them.
        clusters: how many clusters the group has that comes from fewer; None without clusters.
    """

    cells: Cells
    rows: np.ndarray
    place: np.ndarray
    clusters: int | None = None


def paired_delta_ba(
    cells16: np.ndarray, *, toward: int, n_boot: int = 2000, ci: float = 0.95, seed: int = 0
) -> PairedChange:
    """Change of bias amplification of one dense and one compressed model, from the 16 cells of :func:`pair_table`.

    Args:
        cells16: ``n[8 * group + 4 * y_true + 2 * dense + compressed]``, shape (16,).
        toward: the favoured group, 1 or 0.
        n_boot: bootstrap draws.
        ci: level of the percentile interval.
        seed: of the draws.
    """
    dense, compressed = (directed_ba(table, toward) for table in tables_of_pair(cells16))
    cell = np.arange(16)
    one = np.ones(1)
    cells = Cells(
        np.asarray(cells16, np.int64), cell >> 3, cell >> 2 & 1, (cell >> 1 & 1)[:, None], (cell & 1)[:, None], one, one
    )
    delta = difference(compressed, dense)
    if not delta.defined:
        return PairedChange(dense, compressed, delta, None, None)
    sums = draw_sums(cells.counts, change_weights(cells, toward), n_boot, np.random.default_rng(seed))
    draws = change_draws(sums, cells)
    return PairedChange(dense, compressed, delta, percentile_interval(draws, ci, "rows"), bootstrap_p(draws))


def change_weights(cells: Cells, toward: int) -> np.ndarray:
    """Columns whose sums give the change: each model's positives outside the favoured group, then those inside.

    The share of true positives is the same for all models and leaves the difference.
    """
    positive = np.hstack([cells.dense, cells.compressed]).astype(np.float64)
    inside = (cells.group == toward)[:, None]
    return np.hstack([positive * ~inside, positive * inside])


def change_draws(sums: np.ndarray, cells: Cells) -> np.ndarray:
    """The change in each draw of :func:`draw_sums`, shape (B,); NaN where a model predicts no positive at all."""
    models = cells.dense.shape[1] + cells.compressed.shape[1]
    outside, inside = sums[:, :models], sums[:, models:]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = inside / (outside + inside)
    return shares @ np.concatenate([-cells.dense_shares, cells.compressed_shares])


def change_influence(cells: Cells, toward: int) -> np.ndarray:
    """What one more row of each cell adds to the change, to first order; shape (cells,).

    For the share U1 / U of one model the influence of a row that it calls positive is (1[favoured] - U1 / U) / U.
    """
    positive = np.hstack([cells.dense, cells.compressed]).astype(np.float64)
    favoured = (cells.group == toward).astype(np.float64)
    total = cells.counts @ positive
    share = (cells.counts * favoured) @ positive / total
    signs = np.concatenate([-cells.dense_shares, cells.compressed_shares])
    return positive * (favoured[:, None] - share) @ (signs / total)
