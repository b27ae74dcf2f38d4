"""Per-layer sparsity: how much each layer keeps, and which layers are close to collapse.

A layer's uniform share is what it would keep if every layer had the run's overall sparsity.  Below a tenth of it a
layer is reported as near collapse, without a live weight as collapsed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tamis.report._read import Run
from tamis.report._rows import LayerCount

NEAR_COLLAPSE = 0.1


@dataclass(frozen=True)
class Layer:
    """One line of the table; shares in [0, 1], ``relative`` is the live share over the overall live share."""

    name: str
    live: int
    total: int
    live_share: float
    relative: float
    warning: str
    dead: str


@dataclass(frozen=True)
class Layers:
    """All layers in the model's order, their totals, where the counts come from, live weights on a path (or NaN)."""

    rows: tuple[Layer, ...]
    live: int
    total: int
    origin: str
    effective: float = math.nan

    @property
    def dead_known(self) -> bool:
        """Whether dead units were counted in any layer."""
        return any(row.dead for row in self.rows)

    @property
    def sparsity(self) -> float:
        """The zeros' share over all listed layers, NaN without layers."""
        return 1 - self.live / self.total if self.total else math.nan

    @property
    def sparsest(self) -> tuple[Layer, ...]:
        """The three layers that keep the smallest share, the smallest first."""
        return tuple(sorted(self.rows, key=lambda row: (row.live_share, row.name))[:3])

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each layer that has collapsed or nearly so."""
        return tuple(f"Layer {row.name}: {row.warning}." for row in self.rows if row.warning)


def layers_of(run: Run) -> Layers:
    """The layers of the summary, or those of the last event that made the model sparse; empty if there is neither."""
    last = next((row for row in reversed(run.masks) if row.event != "decompress" and row.layers), None)
    counts = run.summary.layers or (last.layers if last else ())
    if not counts:
        return Layers((), 0, 0, "")
    live, total = sum(row.live for row in counts), sum(row.total for row in counts)
    masked = {row.name: row for row in last.layers} if last else {}
    rows = tuple(_layer(row, live / total if total else 0.0, masked.get(row.name, row)) for row in counts)
    origin = "the final model" if run.summary.layers else f"the masks made at step {last.step:,}" if last else ""
    return Layers(rows, live, total, origin, last.effective_nnz if last else math.nan)


def _layer(counts: LayerCount, overall: float, masked: LayerCount) -> Layer:
    share = counts.live / counts.total if counts.total else 1.0
    relative = share / overall if overall else math.nan
    if counts.total and counts.live == 0:
        warning = "collapsed, it has no live weight"
    elif relative < NEAR_COLLAPSE:
        warning = f"near collapse, it keeps {100 * relative:.0f} % of its uniform share"
    else:
        warning = ""
    dead = "" if masked.no_fan_in is None else f"{masked.no_fan_in:,}, {masked.no_fan_out or 0:,}"
    return Layer(counts.name, counts.live, counts.total, share, relative, warning, dead)
