"""How a sparsity, or an update fraction, moves with training: pure functions of the step.

Steps may be optimizer steps or epochs, as long as all arguments agree.  Every ramp returns exactly its final value from
its end on: published codes stop at 0.89908 or 0.899996 instead of 0.90.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tamis.errors import UsageError


def _progress(step: float, start: float, end: float) -> float:
    if end < start:
        raise UsageError(f"a ramp must end at or after its start; got start={start}, end={end}")
    if step < start:
        return 0.0
    return 1.0 if step >= end else (step - start) / (end - start)


def cubic(step: float, start: float, end: float, initial: float, final: float) -> float:
    """Cubic ramp of gradual magnitude pruning: ``final + (initial - final) * (1 - u) ** 3``.

    ``u = (step - start) / (end - start)``; ``initial`` before the start, exactly ``final`` from the end on;
    ``start == end`` is one-shot pruning.  Zhu and Gupta, "To prune, or not to prune" (2017).

    Args:
        step: where training is.
        start: first step of the ramp.
        end: step at which the ramp reaches ``final``.
        initial: value before and at the start.
        final: value at and after the end.

    Raises:
        UsageError: the end lies before the start.

    >>> cubic(50, 0, 100, 0.0, 0.9)
    0.7875
    """
    if step < start:
        return initial
    progress = _progress(step, start, end)
    return final if progress == 1.0 else final + (initial - final) * (1.0 - progress) ** 3


@dataclass(frozen=True)
class PruneEvent:
    """One pruning event of a gradual method.

    Attributes:
        step: when it happens.
        sparsity: what it prunes to.
    """

    step: int
    sparsity: float


def gmp_events(start: int, end: int, every: int, initial: float, final: float) -> tuple[PruneEvent, ...]:
    """Events of gradual magnitude pruning: at ``start``, then each ``every`` steps, and always one at ``end``.

    The published lists ``[start, every, end)`` leave the end out and miss the target; here the last event applies
    exactly ``final``, at a shorter distance from its predecessor where ``every`` does not divide the ramp.

    Args:
        start: step of the first event.
        end: step of the last event, at least ``start``.
        every: distance between events, at least 1.
        initial: sparsity of the first event (unless ``start == end``).
        final: sparsity of the last event.

    Raises:
        UsageError: ``end < start`` or ``every < 1``.

    >>> [event.step for event in gmp_events(1, 40, 5, 0.05, 0.9)]
    [1, 6, 11, 16, 21, 26, 31, 36, 40]
    """
    if every < 1 or end < start:
        raise UsageError(f"events need start <= end and every >= 1; got start={start}, end={end}, every={every}")
    steps = [*range(start, end, every), end]
    return tuple(PruneEvent(step, cubic(step, start, end, initial, final)) for step in steps)


def spread_events(
    total_steps: int, start: float, end: float, events: int, initial: float, final: float
) -> tuple[PruneEvent, ...]:
    """Events of a gradual method, evenly spaced between two shares of the run; the last applies exactly ``final``.

    Args:
        total_steps: steps of the whole run, at least 1.
        start: share of the run at the first event, in [0, 1].
        end: share of the run at the last event, ``start <= end <= 1``.
        events: how many, at least 1 (2 if ``start < end``); events that round to one step are one event.
        initial: sparsity of the first event (unless ``start == end``).
        final: sparsity of the last event.

    Raises:
        UsageError: the shares or the number of events do not fit each other.

    >>> [event.step for event in spread_events(100, 0.2, 0.8, 5, 0.0, 0.9)]
    [20, 35, 50, 65, 80]
    """
    if not 0 <= start <= end <= 1:
        raise UsageError(f"expected 0 <= start <= end <= 1 as shares of the run; got start={start}, end={end}")
    if events < (2 if start < end else 1) or total_steps < 1:
        raise UsageError(
            f"expected total_steps >= 1 and at least 2 events from start to end; got {total_steps} and {events}"
        )
    first, last = round(start * total_steps), round(end * total_steps)
    gaps = max(1, events - 1)
    steps = {first + (2 * (last - first) * i + gaps) // (2 * gaps) for i in range(events)} | {last}
    return tuple(PruneEvent(step, cubic(step, first, last, initial, final)) for step in sorted(steps))


def recomputation_targets(before: float, after: float, rounds: int) -> tuple[float, ...]:
    """Sparsities of ``rounds`` cuts inside one event, the live share shrinking by the same factor at each.

    ``1 - (1 - before) * ((1 - after) / (1 - before)) ** (i / rounds)``, the last exactly ``after``; Frantar et al.,
    "M-FAC" (NeurIPS 2021), who estimate the curvature anew before each cut.

    Args:
        before: sparsity that is in force, in [0, 1).
        after: sparsity of the event, in [0, 1); where it is not above ``before`` there is one cut.
        rounds: at least 1.

    Raises:
        UsageError: ``rounds`` is below 1.

    >>> [round(target, 4) for target in recomputation_targets(0.0, 0.9375, 4)]
    [0.5, 0.75, 0.875, 0.9375]
    """
    if rounds < 1:
        raise UsageError(f"an event needs at least one cut; got {rounds}")
    if after <= before:
        return (after,)
    factor = (1.0 - after) / (1.0 - before)
    return (*(1.0 - (1.0 - before) * factor ** (i / rounds) for i in range(1, rounds)), after)


def exponential_ramp(progress: float, final: float) -> float:
    """Ramp at the entry of a sparse phase: ``final * (1 - exp(-4 u)) / (1 - exp(-4))``.

    SequentialAttention++ (Yasuda et al., NeurIPS 2024), an option of AC/DC.

    Args:
        progress: ``u``, clamped to [0, 1].
        final: sparsity at the end of the ramp, returned exactly there.

    >>> round(exponential_ramp(0.5, 0.9), 6)
    0.792717
    """
    if progress >= 1.0:
        return final
    return final * math.expm1(-4.0 * max(0.0, progress)) / math.expm1(-4.0)


def cosine_decay(step: float, start: float, end: float, initial: float) -> float:
    """Update fraction of RigL: ``initial * (1 + cos(pi * u)) / 2`` with ``u = (step - start) / (end - start)``.

    ``initial`` up to the start, exactly 0 from the end on.  Evci et al., "Rigging the Lottery" (ICML 2020), section 3.

    Raises:
        UsageError: the end lies before the start.
    """
    progress = _progress(step, start, end)
    return 0.0 if progress == 1.0 else initial * (1.0 + math.cos(math.pi * progress)) / 2.0


def power_decay(step: float, start: float, end: float, initial: float, power: float) -> float:
    """Inverse-power update fraction: ``initial * (1 - u) ** power``; ``power=0`` is constant.

    Evci et al., "Rigging the Lottery" (ICML 2020).

    Raises:
        UsageError: the end lies before the start.
    """
    return initial * (1.0 - _progress(step, start, end)) ** power


def step_of(moment: float, total_steps: int, name: str) -> int:
    """A moment of a run in optimizer steps: a share of the run (up to 1) or already a whole number of steps (above 1).

    Args:
        moment: share in [0, 1], rounded to the nearest step, or a whole number above 1.
        total_steps: optimizer steps of the run, at least 1.
        name: what the moment is called in the error message.

    Raises:
        UsageError: the moment is neither, lies behind the run, or the run has no step.

    >>> step_of(0.75, 32_000, "end"), step_of(25_000, 32_000, "end")
    (24000, 25000)
    """
    if isinstance(total_steps, bool) or not isinstance(total_steps, int) or total_steps < 1:
        raise UsageError(f"total_steps must be a whole number of at least 1; got {total_steps!r}")
    if isinstance(moment, bool) or not isinstance(moment, (int, float)) or not 0 <= moment <= total_steps:
        raise UsageError(f"{name} must be a share of the run in [0, 1] or steps up to {total_steps}; got {moment!r}")
    if moment <= 1:
        return round(moment * total_steps)
    if moment != int(moment):
        raise UsageError(f"{name} must be a share of the run in [0, 1] or a whole number of steps; got {moment!r}")
    return int(moment)
