"""Labels and identities of an audit, matched and counted: what all models are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.audit._bias_amplification import TrainCounts
from tamis.audit._group_metrics import intersection_cells
from tamis.audit._labels import MISSING, Labels
from tamis.audit._names import check_names
from tamis.audit._settings import Settings
from tamis.errors import UsageError


@dataclass(frozen=True)
class Inputs:
    """What is true of the test samples, and counts of the training samples.

    Attributes:
        ids: shape (N,).
        attributes: names of the K targets.
        y: uint8, shape (K, N): 0, 1, or 255 for unknown.
        identities: names of the G identities; cells of intersections come last.
        groups: uint8, shape (G, N), alike.
        cluster: numbers 0 to C - 1, shape (N,), or None.
        train: counts of each (attribute, identity), as [k][g].
        train_rates: (positives, samples) of each attribute in the training data.
        small: identities that are cells of an intersection with too few samples.
        parts: for each identity the label columns that it is made of: itself, or those of the intersection.
    """

    ids: np.ndarray
    attributes: tuple[str, ...]
    y: np.ndarray
    identities: tuple[str, ...]
    groups: np.ndarray
    cluster: np.ndarray | None
    train: tuple[tuple[TrainCounts, ...], ...]
    train_rates: tuple[tuple[int, int], ...]
    small: frozenset[str]
    parts: tuple[tuple[str, ...], ...]

    def rare(self, column: int) -> int:
        """The rarer value of an attribute in the training data; positive if both are equally frequent."""
        positives, n = self.train_rates[column]
        return 0 if 2 * positives > n else 1

    @property
    def predicted(self) -> tuple[tuple[int, int], ...]:
        """(identity, attribute) by their numbers for every identity that is also one of the attributes."""
        numbers = {name: number for number, name in enumerate(self.attributes)}
        return tuple((identity, numbers[name]) for identity, name in enumerate(self.identities) if name in numbers)

    def same(self, column: int, identity: int) -> bool:
        """Whether the attribute is the identity itself, or part of the intersection."""
        return self.attributes[column] in self.parts[identity]


def prepare_inputs(
    labels: Labels,
    train_labels: Labels,
    attributes: Sequence[str],
    groups: Sequence[str] | Labels,
    train_groups: Labels | None,
    intersections: Sequence[Sequence[str]],
    settings: Settings,
) -> Inputs:
    """Match groups with labels, add intersections, and count the training data; UsageError if something is missing."""
    if isinstance(groups, Labels):
        names = groups.names
        everything = labels.joined(groups, "groups")
        if train_groups is not None:
            train_labels = train_labels.joined(train_groups, "training groups")
    else:
        names = (groups,) if isinstance(groups, str) else tuple(groups)
        everything = labels
    if not names:
        raise UsageError("no identity is given; expected at least one group, such as groups=['Male']")
    y, member = _columns(everything, tuple(attributes), "labels"), _columns(everything, names, "labels")
    train_y = _columns(train_labels, tuple(attributes), "training labels")
    train_member = _columns(train_labels, names, "training labels")
    small: set[str] = set()
    for wanted in intersections:
        cells, train_cells = (
            _cells(side, names, tuple(wanted)) for side in (member[: len(names)], train_member[: len(names)])
        )
        small |= {name for name, cell in cells.items() if int((cell == 1).sum()) < settings.min_cell}
        names_of_cells = tuple(cells)
        member = np.vstack([member, *(cells[name][None] for name in names_of_cells)])
        train_member = np.vstack([train_member, *(train_cells[name][None] for name in names_of_cells)])
    made = [(cell, tuple(wanted)) for wanted in intersections for cell in _cells(member, names, tuple(wanted))]
    identities = check_names([*names, *(cell for cell, _ in made)], len(names) + len(made))
    parts = (*((name,) for name in names), *(columns for _, columns in made))
    train = tuple(tuple(TrainCounts.of(group, column) for group in train_member) for column in train_y)
    rates = tuple((int((column == 1).sum()), int((column < 2).sum())) for column in train_y)
    assert labels.ids is not None
    return Inputs(
        labels.ids, tuple(attributes), y, identities, member, labels.cluster, train, rates, frozenset(small), parts
    )


def _columns(labels: Labels, names: tuple[str, ...], what: str) -> np.ndarray:
    try:
        return np.ascontiguousarray(labels.columns(names).values.T)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None


def _cells(member: np.ndarray, names: tuple[str, ...], wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Membership of each cell against the rest; unknown where one of its identities is."""
    for name in wanted:
        if name not in names:
            raise UsageError(f"intersection of {name!r}, which is no identity; identities are {', '.join(names)}")
    columns = {name: member[names.index(name)] for name in wanted}
    unknown = np.logical_or.reduce([column == MISSING for column in columns.values()])
    return {
        name: np.where(unknown, MISSING, inside).astype(np.uint8)
        for name, inside in intersection_cells(columns).items()
    }
