"""The alternation of AC/DC between dense and sparse phases, in epochs or in steps.

Peste, Iofinova, Vladu, Alistarh, "AC/DC: Alternating Compressed/DeCompressed Training of Deep Neural Networks"
(NeurIPS 2021); the schedules of the published configurations are in :data:`~tamis.sparsity.PRESETS`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from tamis.errors import UsageError


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
        kind: "dense" or "sparse".
        start: first epoch or step.
        end: first epoch or step after it (exclusive).
    """

    kind: Literal["dense", "sparse"]
    start: int
    end: int

    @property
    def length(self) -> int:
        """``end - start``."""
        return self.end - self.start


def acdc_phases(
    total: int, warmup: int, sparse: int, dense: int, last_dense: int, last_sparse: int
) -> tuple[Phase, ...]:
    """Phases of an AC/DC run: D warmup, n x (S sparse, D dense), S sparse, D last_dense, S last_sparse.

    All lengths are in one unit, epochs or steps.  ``n`` follows from the total and must be a whole number.

    Args:
        total: length of the whole run.
        warmup: first dense phase.
        sparse: every sparse phase but the last.
        dense: every dense phase between the first and the last.
        last_dense: dense phase before the last sparse one; its end is the usual start of the dense twin.
        last_sparse: final sparse phase.

    Returns:
        Phases without gaps from 0 to ``total``.

    Raises:
        UsageError: a length is below 1, or no whole number of pairs fits; the message names the nearest valid totals.

    >>> [(phase.kind[0], phase.start, phase.end) for phase in acdc_phases(200, 10, 20, 20, 20, 30)][:4]
    [('d', 0, 10), ('s', 10, 30), ('d', 30, 50), ('s', 50, 70)]
    """
    lengths = {"warmup": warmup, "sparse": sparse, "dense": dense, "last_dense": last_dense, "last_sparse": last_sparse}
    for name, length in lengths.items():
        if length < 1:
            raise UsageError(f"{name} must be at least 1; got {length}")
    pair = sparse + dense
    shortest = warmup + sparse + last_dense + last_sparse
    pairs, rest = divmod(total - shortest, pair)
    if pairs < 0:
        raise UsageError(
            f"an AC/DC run of {total} is too short for warmup {warmup}, sparse {sparse}, last dense {last_dense} and "
            f"last sparse {last_sparse}; the nearest valid totals are {shortest} and {shortest + pair}"
        )
    if rest:
        below = shortest + pairs * pair
        raise UsageError(
            f"an AC/DC run of {total} leaves {rest} over after {pairs} pairs of sparse {sparse} and dense {dense}; "
            f"the nearest valid totals are {below} and {below + pair}"
        )
    plan: list[tuple[Literal["dense", "sparse"], int]] = [("dense", warmup)]
    plan += [("sparse", sparse), ("dense", dense)] * pairs
    plan += [("sparse", sparse), ("dense", last_dense), ("sparse", last_sparse)]
    phases, start = [], 0
    for kind, length in plan:
        phases.append(Phase(kind, start, start + length))
        start += length
    return tuple(phases)


def default_phases(total: int) -> tuple[Phase, ...]:
    """The default shape for a run of any length: 10 % D, seven S-D pairs of 5 % each with a last D of 10 %, 15 % S.

    The published 100-epoch shape of ImageNet, scaled (:func:`scale_phases`); ``total`` in epochs or steps.

    Raises:
        UsageError: the run is too short for 16 phases.
    """
    return scale_phases(acdc_phases(100, 10, 5, 5, 10, 15), total)


def scale_phases(phases: Sequence[Phase], total: int) -> tuple[Phase, ...]:
    """The same phases over another total: boundaries are scaled and rounded (half up), never lengths.

    Converts epochs to steps (``total = epochs * steps_per_epoch``, exact) and shapes to other run lengths.

    Args:
        phases: phases without gaps, starting at 0.
        total: length of the new run, in the new unit.

    Raises:
        UsageError: a phase would vanish because ``total`` is too small.
    """
    old = check_phases(phases)
    bounds = [(2 * phase.start * total + old) // (2 * old) for phase in phases] + [total]
    if any(after <= before for before, after in pairwise(bounds)):
        raise UsageError(
            f"a run of {total} is too short for {len(phases)} phases over {old}: a phase would have no step; "
            "train longer or use fewer phases"
        )
    return tuple(
        Phase(phase.kind, before, after) for phase, (before, after) in zip(phases, pairwise(bounds), strict=True)
    )


def check_phases(phases: Sequence[Phase]) -> int:
    """Return the total length of phases that follow each other without gaps from 0; UsageError otherwise."""
    if not phases:
        raise UsageError("a schedule needs at least one phase; got none")
    position = 0
    for phase in phases:
        if phase.kind not in ("dense", "sparse") or phase.start != position or phase.end <= phase.start:
            raise UsageError(
                f"phases must follow each other without gaps from 0, each 'dense' or 'sparse' and at least 1 long; "
                f"got {phase} where {position} should start"
            )
        position = phase.end
    return position


def phase_at(phases: Sequence[Phase], position: int) -> Phase:
    """The phase that epoch or step ``position`` belongs to; UsageError outside the schedule."""
    if not 0 <= position < phases[-1].end:
        raise UsageError(f"position {position} lies outside the schedule, which covers 0 up to {phases[-1].end - 1}")
    return phases[bisect_right([phase.start for phase in phases], position) - 1]


def compress_at(phases: Sequence[Phase]) -> tuple[int, ...]:
    """Where sparse phases begin: before this epoch or step, weights are pruned."""
    return _entries(phases, "sparse")


def decompress_at(phases: Sequence[Phase]) -> tuple[int, ...]:
    """Where dense phases begin after a sparse one: before this epoch or step, pruned weights come back as zeros."""
    return tuple(start for start in _entries(phases, "dense") if start > 0)


def _entries(phases: Sequence[Phase], kind: str) -> tuple[int, ...]:
    """Starts of the phases of one kind that do not continue a phase of the same kind."""
    return tuple(
        phase.start for i, phase in enumerate(phases) if phase.kind == kind and (i == 0 or phases[i - 1].kind != kind)
    )
