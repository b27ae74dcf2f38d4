"""How a sparsity is shared among the layers: uniform, global, or by a table of budgets.

A distribution is a frozen value that turns scores and one sparsity into a count per layer; it knows nothing about
methods, and patterns round its counts to what they can hold.  :class:`~tamis.sparsity.ERK` lives in its own file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import check_sparsity, floor_count, keep_count
from tamis.sparsity._names import layer_names
from tamis.sparsity._selection import FlatScores, flat_scores, global_counts


class Distribution(ABC):
    """Shares one sparsity among layers (abstract)."""

    def keep_counts(
        self, scores: Mapping[str, Tensor], sparsity: float, also_dense: Collection[str] = ()
    ) -> dict[str, int]:
        """Survivors per layer.

        Args:
            scores: layer name -> floating point scores in the shape of the layer's weight, higher is better, in
                registration order.
            sparsity: target fraction of zeros in [0, 1) over the layers that are not left dense.
            also_dense: layers that stay dense for a reason outside the distribution, such as a pattern's ``skip``.

        Returns:
            Layer name -> number of weights that live.

        Raises:
            UsageError: the sparsity, a score, or the options do not fit these layers.
        """
        check_sparsity(sparsity)
        names = checked_layers(scores)
        dense = {*self.dense_layers(names), *also_dense}
        pruned = {name: tensor for name, tensor in scores.items() if name not in dense}
        counts = self._share(pruned, sparsity) if pruned else {}
        return {name: counts[name] if name in counts else scores[name].numel() for name in names}

    def dense_layers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of the layers that this distribution leaves dense, which ``sparsity`` therefore does not count.

        Raises:
            UsageError: an option names a layer that is not among ``names``.
        """
        return ()

    @abstractmethod
    def _share(self, pruned: Mapping[str, Tensor], sparsity: float) -> dict[str, int]:
        """Counts of the layers that are not left dense; there is at least one."""


def checked_layers(scores: Mapping[str, Tensor]) -> list[str]:
    """The layer names; UsageError if there is no layer."""
    if not scores:
        raise UsageError("no layer to prune: expected at least one layer name with its scores, got an empty mapping")
    return list(scores)


def named_dense(names: Sequence[str], dense: Iterable[str], first: bool, last: bool) -> tuple[str, ...]:
    """Layers left dense by name or position, in registration order; UsageError for an unknown name."""
    chosen = set(dense)
    unknown = sorted(chosen - set(names))
    if unknown:
        raise UsageError(f"dense names layers that do not exist: {unknown}; the prunable layers are {list(names)}")
    if names and first:
        chosen.add(names[0])
    if names and last:
        chosen.add(names[-1])
    return tuple(name for name in names if name in chosen)


@dataclass(frozen=True)
class Uniform(Distribution):
    """The same sparsity in every layer, with the option to leave some layers dense.

    The sparsity is counted on the pruned layers only; with both ends of ResNet-50 dense, 0.90 is 0.827 over all layers
    (see :func:`~tamis.sparsity.achieved_sparsity`, which reports both).  RigL leaves the first layer dense (Evci et
    al., ICML 2020); AC/DC's uniform runs leave the first and the last dense (Peste et al., NeurIPS 2021).

    Attributes:
        dense: name or names of layers to leave dense; stored as a tuple.
        first_dense: leave the first layer (in registration order) dense.
        last_dense: leave the last layer dense.
    """

    dense: str | Collection[str] = ()
    first_dense: bool = False
    last_dense: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dense", layer_names(self.dense, "dense"))

    def dense_layers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Layers left dense, in registration order; UsageError for a name that does not exist."""
        return named_dense(names, self.dense, self.first_dense, self.last_dense)

    def _share(self, pruned: Mapping[str, Tensor], sparsity: float) -> dict[str, int]:
        return {name: keep_count(tensor.numel(), sparsity) for name, tensor in pruned.items()}


@dataclass(frozen=True)
class Global(Distribution):
    """One ranking over all layers, with a floor that keeps every layer alive.

    Each layer first keeps its best ``max(1, floor(floor * (1 - sparsity) * n_l))`` weights; the rest of the budget goes
    to the best of all remaining weights.  The total is exactly ``keep_count(n, sparsity)``; floors that alone exceed
    it (one weight in each of many tiny layers) are a UsageError.  Without a floor, global magnitude pruning can empty a
    whole layer at high sparsity; AC/DC's published runs use ``floor=0``.

    Attributes:
        floor: share in [0, 1] of its uniform budget that each layer keeps at least; 0 means none.
        normalise: ``"l2"`` divides the scores of a layer by their Euclidean norm before ranking layers against each
            other (JaxPruner's default; a different method, so it must be asked for); ``None`` ranks the scores.
    """

    floor: float = 0.2
    normalise: Literal["l2"] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.floor, bool) or not 0.0 <= self.floor <= 1.0:
            raise UsageError(f"floor must be in [0, 1], a share of the uniform budget of a layer; got {self.floor!r}")
        if self.normalise not in (None, "l2"):
            raise UsageError(f"normalise must be None or 'l2'; got {self.normalise!r}")

    def _share(self, pruned: Mapping[str, Tensor], sparsity: float) -> dict[str, int]:
        flats = [flat_scores(tensor, name) for name, tensor in pruned.items()]
        if self.normalise == "l2":
            flats = [_unit_norm(flat) for flat in flats]
        budget = keep_count(sum(flat.size for flat in flats), sparsity)
        # A score of -inf marks a weight that may not return (nested_scores): a floor of such weights would be lost.
        floors = [min(floor_count(flat.size, sparsity, self.floor), int((flat > -np.inf).sum())) for flat in flats]
        return dict(zip(pruned, global_counts(flats, budget, floors), strict=True))


def _unit_norm(flat: FlatScores) -> FlatScores:
    # numpy sums in one fixed order; torch's norm would depend on the number of threads. Scores of -inf mark weights
    # that may not return (see nested_scores) and have no length.
    finite = flat[np.isfinite(flat)]
    norm = math.sqrt(float(np.square(finite, dtype=np.float64).sum()))
    return flat if norm == 0.0 else flat.astype(np.float64) / norm


@dataclass(frozen=True)
class Budget(Distribution):
    """A table of sparsities per layer, for example the outcome of an STR run (Kusupati et al., ICML 2020).

    At the table's own overall sparsity the table is applied as it is; below it (on the way there, as gradual pruning
    asks) every entry shrinks by the same factor, so that layers reach their budgets together.

    Attributes:
        table: layer name -> sparsity in [0, 1) for every prunable layer, as a mapping or as pairs; stored as pairs.
    """

    table: Mapping[str, float] | tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        pairs = self.table.items() if isinstance(self.table, Mapping) else self.table
        entries = tuple((str(name), check_sparsity(value, f"the budget of layer {name!r}")) for name, value in pairs)
        if len({name for name, _ in entries}) != len(entries):
            raise UsageError("the budget table names a layer twice; expected one sparsity per layer")
        object.__setattr__(self, "table", entries)

    def dense_layers(self, names: Sequence[str]) -> tuple[str, ...]:
        """None (an entry 0.0 is a budget); UsageError if the table names layers that are not among ``names``."""
        unknown = sorted(set(dict(self.table)) - set(names))
        if unknown:
            raise UsageError(
                f"the budget table names layers that do not exist: {unknown}; the layers are {list(names)}"
            )
        return ()

    def overall(self, sizes: Mapping[str, int]) -> float:
        """Sparsity over the given layers when the table is applied as it is.

        Args:
            sizes: layer name -> number of weights.

        Raises:
            UsageError: the table lacks one of these layers.
        """
        table = dict(self.table)
        missing = sorted(set(sizes) - set(table))
        if missing:
            raise UsageError(f"the budget table lacks the layers {missing}; the sparsity 0.0 leaves a layer dense")
        return sum(table[name] * n for name, n in sizes.items()) / max(1, sum(sizes.values()))

    def _share(self, pruned: Mapping[str, Tensor], sparsity: float) -> dict[str, int]:
        sizes = {name: tensor.numel() for name, tensor in pruned.items()}
        overall = self.overall(sizes)
        if sparsity > overall + 1e-6:
            raise UsageError(
                f"the budget table reaches a sparsity of {overall:.6g} over its layers, but {sparsity:.6g} is asked: "
                "ask for at most the table's sparsity (Budget.overall) or give a sparser table"
            )
        # printed tables are rounded: within 1e-6 of its own sparsity the table is meant as it is
        factor = 1.0 if overall - sparsity <= 1e-6 else sparsity / overall
        table = dict(self.table)
        return {name: keep_count(n, table[name] * factor) for name, n in sizes.items()}
