"""What a study of source filtering compares, and its cells: one adversary, data set and seed each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tamis.errors import UsageError

LEARNERS = ("none", "regularised", "preprocessing", "postprocessing", "adversarial")
METHODS = (
    "original", "oracle", "naive", "konstantinov2020", "flea", "flea_signed", "robust_ensemble", "hterm", "dro",
)  # fmt: skip
OWN_SOURCES = {"acs51": 51}  # tables that come with sources
DATA = ("compas", "drugs", "german", "adult", "acs51")
# As tamis.sources.ADVERSARIES, repeated so that flags are known before scikit-learn is imported; a test compares them.
ADVERSARIES = (
    "none", "flip#protected", "flip#target", "flip#protected#target", "shuffle#protected", "copy#protected#target",
    "copy#target#protected", "resample#1", "randomanchor#0", "randomanchor#1", "random",
)  # fmt: skip


@dataclass(frozen=True)
class SourceStudy:
    """Every combination of data, adversary and seed is one cell; methods and learners are compared within a cell.

    Raises :class:`tamis.errors.UsageError` that names the key and the value for anything that makes no sense.
    """

    data: tuple[str, ...] = ("compas", "drugs", "german")
    """Published tables: adult, compas, drugs, german, acs51."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Seeds of split, bad sources and draws."""
    adversaries: tuple[str, ...] = ADVERSARIES
    """Published names of adversaries."""
    methods: tuple[str, ...] = METHODS
    """How sources become training data; ``flea`` has the published disparity, ``flea_signed`` the signed one."""
    learners: tuple[str, ...] = LEARNERS
    """Fair learners; hterm knows the first, third and fourth, dro the second."""
    n_sources: int = 5
    """Sources of a table without its own; acs51 always has 51."""
    n_bad: int = 2
    """How many of them the adversary manipulates."""

    def __post_init__(self) -> None:
        for key, known in (
            ("data", DATA), ("adversaries", ADVERSARIES), ("methods", METHODS), ("learners", LEARNERS),
        ):  # fmt: skip
            _each_once(key, getattr(self, key), known)
        if not self.seeds:
            raise UsageError("seeds: expected at least one")
        if not self.n_sources >= 2:
            raise UsageError(f"n_sources = {self.n_sources}: expected at least 2")
        for data in self.data:
            most = OWN_SOURCES.get(data, self.n_sources) - 1
            if not 0 <= self.n_bad <= most:
                raise UsageError(f"n_bad = {self.n_bad}: expected 0 to {most} for {data}")


@dataclass(frozen=True)
class SourceCell:
    """One cell: what is computed together in one process; ``name`` is that of its file."""

    name: str
    data: str
    n_sources: int
    n_bad: int
    adversary: str
    seed: int
    methods: tuple[str, ...]
    learners: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def source_cells(study: SourceStudy) -> tuple[SourceCell, ...]:
    """All cells, seed by seed, so that a study that was stopped has every adversary for its early seeds."""
    cells = []
    for data in study.data:
        n = OWN_SOURCES.get(data, study.n_sources)
        for seed in study.seeds:
            for adversary in study.adversaries:
                name = f"{data}_n{n}_b{study.n_bad}_{adversary.replace('#', '-')}_s{seed}"
                cells.append(SourceCell(name, data, n, study.n_bad, adversary, seed, study.methods, study.learners))
    return tuple(cells)


def _each_once(key: str, values: Iterable[str], known: tuple[str, ...]) -> None:
    given = list(values)
    if not given:
        raise UsageError(f"{key}: expected at least one of {', '.join(known)}")
    for value in given:
        if value not in known:
            raise UsageError(f"{key}: unknown {value!r}, expected some of {', '.join(known)}")
    if len(set(given)) < len(given):
        raise UsageError(f"{key} = {given}: expected each of them once")
