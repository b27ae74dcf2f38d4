"""Bootstrap intervals of a score.  Two questions have two answers, and both are printed with their names.

``seeds``: these tasks, new seeds; tasks stay, the seeds of each cell are drawn anew.
``both``: new tasks and new seeds; tasks are drawn, then seeds within each draw.
``tasks``: new tasks at the means over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError
from tamis.transfer._outcomes import Model, Outcomes

Over = Literal["seeds", "tasks", "both"]

# Each interval has a generator of this seed, so that a table printed twice is the same.
_SEED = 20220601


@dataclass(frozen=True)
class Interval:
    """Percentiles 2.5 and 97.5 of the resampled scores, or the reason why there are none."""

    over: str
    low: float
    high: float
    unavailable: str = ""


def bootstrap(
    outcomes: Outcomes, model: Model, over: Over, *, resamples: int = 10_000, paired: bool | None = None
) -> Interval:
    """The interval of the mean relative error increase of ``model`` over its dense baseline.

    Args:
        outcomes: with no cell of the two missing.
        model: a sparse model.
        over: what would be drawn anew; see the module.
        resamples: scores to draw.
        paired: draw the same seeds of both sides.  None: in the tasks where both sides have the same seed ids.

    Returns:
        An interval; with one value in any cell that of ``seeds`` and ``both`` is unavailable, never of zero width.

    Raises:
        UsageError: a missing cell, an unknown ``over``, or ``paired=True`` where ids differ.
    """
    if over not in get_args(Over):
        raise UsageError(f"over={over!r}; expected one of {', '.join(get_args(Over))}")
    baseline = outcomes.baseline(model)
    tasks = outcomes.tasks(model.arch, model.kind)
    cells = [(outcomes.cell(model, task), outcomes.cell(baseline, task)) for task in tasks]
    nan = float("nan")
    if over != "seeds" and len(tasks) < 2:
        return Interval(over, nan, nan, "one task")
    if over == "tasks":
        cells = [({"": outcomes.mean(model, task)}, {"": outcomes.mean(baseline, task)}) for task in tasks]
    else:
        single = [task for task, pair in zip(tasks, cells, strict=True) if min(map(len, pair)) < 2]
        if single:
            return Interval(over, nan, nan, f"one seed on {', '.join(single[:3])}{' ...' if len(single) > 3 else ''}")
    together = [pair[0].keys() == pair[1].keys() if paired is None else paired for pair in cells]
    for task, pair, same in zip(tasks, cells, together, strict=True):
        if same and pair[0].keys() != pair[1].keys():
            raise UsageError(f"{model} on {task}: its seeds are not those of the dense baseline, so they have no pairs")
    generator = np.random.default_rng(_SEED)
    shape = (resamples, len(tasks))
    drawn = np.broadcast_to(np.arange(len(tasks)), shape)
    if over != "seeds":
        drawn = generator.integers(len(tasks), size=shape)
    first, second = (_padded([pair[side] for pair in cells]) for side in (0, 1))
    width = max(first[0].shape[1], second[0].shape[1])
    chance = generator.random((*shape, width))
    other = np.where(np.array(together)[drawn][..., None], chance, generator.random((*shape, width)))
    error, dense = _resampled(first, drawn, chance), _resampled(second, drawn, other)
    if (dense <= 0).any():
        return Interval(over, nan, nan, "a resampled dense baseline has no error")
    low, high = np.quantile(((error - dense) / dense).mean(axis=1), [0.025, 0.975])
    return Interval(over, float(low), float(high))


def _padded(cells: Sequence[Mapping[str, float]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Errors (T, most seeds), sorted by seed id and padded with zeros, and the number of seeds of each task (T,)."""
    counts = np.array([len(cell) for cell in cells])
    errors = np.zeros((len(cells), counts.max()))
    for row, cell in zip(errors, cells, strict=True):
        row[: len(cell)] = [1 - cell[seed] for seed in sorted(cell)]
    return errors, counts


def _resampled(
    side: tuple[NDArray[np.float64], NDArray[np.int64]], drawn: NDArray[np.int64], chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean error of each drawn task over as many drawn seeds as it has: (resamples, T)."""
    errors, counts = side
    chance = chance[..., : errors.shape[1]]
    many = counts[drawn][..., None]
    places = (chance * many).astype(np.int64)
    values = errors[drawn[..., None], places]
    used = np.arange(errors.shape[1]) < many
    return (values * used).sum(axis=2) / counts[drawn]
