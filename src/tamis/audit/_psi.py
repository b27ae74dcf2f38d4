"""psi: accuracy that a group lost, less what all lost (Balancing Act, ICLR 2024), with intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tamis.audit._comparison import Comparison
from tamis.audit._delta import delta_intervals
from tamis.audit._estimates import Estimate
from tamis.audit._paired_change import Cells, RowCells
from tamis.audit._reasons import Value, undefined


def psi_reason(comparison: Comparison, g: int, size: int) -> str:
    """Why a group of ``size`` rows of identity ``g`` has no psi, or nothing."""
    inputs = comparison.inputs
    if inputs.identities[g] in inputs.small:
        return "small_cell"
    if size == 0:
        return "empty_group"
    return "small_cell" if size < comparison.settings.min_cell else ""


def psi_steps(size: int, total: int) -> tuple[float, float]:
    """By how much one row inside and one row outside of a group of ``size`` rows moves psi."""
    outside = total - size
    return outside / total / size, (1 / total if outside else 0.0)


def pair_psi(comparison: Comparison, k: int, g: int, group: int, found: RowCells) -> Estimate:
    """psi of one group of a pair with delta intervals; larger is worse for it."""
    inputs, cells = comparison.inputs, found.cells
    size, total = int(cells.counts[cells.group == group].sum()), int(cells.counts.sum())
    reason = psi_reason(comparison, g, size)
    if reason:
        return Estimate(undefined(reason))
    sides = []
    for side in (comparison.dense, comparison.compressed):
        tables = side.tables[:, k, g]
        sides.append([Value(_accuracy(table.sum(axis=0)) - _accuracy(table[group])) for table in tables])
    estimate = comparison.change(sides[0], sides[1])
    influence = _influence(cells, group)
    sums = None
    if inputs.cluster is not None:
        sums = np.bincount(inputs.cluster[found.rows], weights=influence[found.place])
    intervals = delta_intervals(
        estimate.mean.value,
        float(cells.counts @ influence**2),
        comparison.spare(*psi_steps(size, total)),
        sums,
        found.clusters,
        comparison.settings.ci,
    )
    return replace(estimate, intervals=(*intervals, *estimate.intervals))


def _accuracy(table: np.ndarray) -> float:
    """Of ``n[y, prediction]``."""
    return float(np.trace(table) / table.sum())


def _influence(cells: Cells, group: int) -> np.ndarray:
    """What one more row of each cell adds to psi, to first order; shape (cells,)."""
    right = cells.y_true[:, None]
    lost = (cells.dense == right) @ cells.dense_shares - (cells.compressed == right) @ cells.compressed_shares
    inside = cells.group == group
    count, total = float(cells.counts[inside].sum()), float(cells.counts.sum())
    in_group = np.where(inside, lost - (cells.counts * inside) @ lost / count, 0.0) / count
    return in_group - (lost - cells.counts @ lost / total) / total
