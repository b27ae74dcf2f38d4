"""What a mask may look like: unstructured, N:M, blocks, constant fan-in.

A pattern is a frozen value.  ``rank`` prepares the scores that layers are compared by, ``select`` turns the scores of
one layer and the count that the distribution granted it into a mask.  Scores have the shape (out, in, kernel...) of the
weight; a *row* is everything that feeds one output.  Ties go to the lower index, everywhere.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import ROUNDING_GUARD
from tamis.sparsity._names import layer_names
from tamis.sparsity._selection import flat_scores, flat_top_k, top_k_mask


class Pattern(ABC):
    """A constraint on masks (abstract)."""

    def rank(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scores, in the weights' shapes, by which layers are compared; UsageError if a layer does not fit."""
        return dict(scores)

    @abstractmethod
    def select(self, scores: Tensor, count: int) -> Tensor:
        """Mask of one layer.

        Args:
            scores: what :meth:`rank` returned for the layer, shape (out, in, kernel...).
            count: weights granted by the distribution; a pattern that cannot hold exactly that many rounds up.

        Returns:
            Bool tensor of the shape and device of ``scores``.

        Raises:
            UsageError: the count is out of range, a score is NaN, or the shape does not fit the pattern.
        """


@dataclass(frozen=True)
class Unstructured(Pattern):
    """Any mask: exactly ``count`` weights live."""

    def select(self, scores: Tensor, count: int) -> Tensor:
        """The ``count`` best scores (see :class:`Pattern`)."""
        return top_k_mask(scores, count)


def _matrix(scores: Tensor, pattern: object) -> np.ndarray:
    """Scores as (out, rest), after the NaN check."""
    if scores.dim() < 2:
        raise UsageError(f"{pattern} needs a weight of at least two dimensions (out, in, ...); got {scores.dim()}")
    return flat_scores(scores).reshape(scores.shape[0], -1)


def best_of_rows(rows: np.ndarray, k: int) -> np.ndarray:
    """True at the ``k`` best of every row of a matrix of numbers without NaN; ties go to the lower index."""
    length = rows.shape[1]
    if k == 0 or k == length:
        return np.full(rows.shape, k > 0)
    threshold = np.partition(rows, length - k, axis=1)[:, length - k : length - k + 1]
    kept, ties = rows > threshold, rows == threshold
    kept |= ties & (np.cumsum(ties, axis=1) <= k - kept.sum(axis=1, keepdims=True))
    return kept


@dataclass(frozen=True)
class FanIn(Pattern):
    """Constant fan-in: every row keeps the same number of weights, ``ceil(count / rows)``.

    The pattern of SRigL (Lasby et al., ICLR 2024) without its neuron ablation.  A layer exceeds its
    budget by less than one weight per row.
    """

    def select(self, scores: Tensor, count: int) -> Tensor:
        """The best ``ceil(count / rows)`` of every row (see :class:`Pattern`).

        Raises:
            UsageError: ``count`` is negative or more than there are weights.
        """
        rows = _matrix(scores, "FanIn()")
        if not 0 <= count <= rows.size:
            raise UsageError(f"cannot keep {count} of {rows.size} weights")
        kept = best_of_rows(rows, -(-count // max(1, rows.shape[0])))
        return torch.from_numpy(kept).reshape(scores.shape).to(scores.device)


@dataclass(frozen=True)
class NM(Pattern):
    """N:M sparsity: the ``n`` best of every ``m`` consecutive weights of a row live.

    Groups run along the input: a convolution is read in the order (out, kernel height, kernel width, in).  Groups never
    leave a row, unlike in published code that cuts the flattened tensor (Zhou et al., ICLR 2021).  A layer whose row
    length is no multiple of ``m`` is an error that names it; name it in ``skip`` to leave it dense.

    The pattern fixes the sparsity, so distributions do not apply; see :func:`~tamis.sparsity.select_masks`.

    Attributes:
        n: live weights per group, 1 <= n < m.
        m: group length.
        skip: name or names of layers to leave dense; stored as a tuple.
    """

    n: int
    m: int
    skip: str | Collection[str] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.n, int) and isinstance(self.m, int) and 1 <= self.n < self.m):
            raise UsageError(f"N:M needs whole numbers 1 <= n < m, such as NM(2, 4); got NM({self.n!r}, {self.m!r})")
        object.__setattr__(self, "skip", layer_names(self.skip, "skip"))

    @property
    def sparsity(self) -> float:
        """The only sparsity that this pattern has: ``1 - n / m``."""
        return 1.0 - self.n / self.m

    def rank(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scores; UsageError naming all layers whose rows cannot be cut into groups of ``m``."""
        _check_skip(scores, self.skip, f"NM({self.n}, {self.m})")
        bad = {
            name: math.prod(t.shape[1:])
            for name, t in scores.items()
            if name not in self.skip and (t.dim() < 2 or math.prod(t.shape[1:]) % self.m)
        }
        if bad:
            skip = tuple(dict.fromkeys((*self.skip, *bad)))
            raise UsageError(
                f"{self.n}:{self.m} needs rows whose length is a multiple of {self.m}; got "
                + ", ".join(f"layer {name!r} with rows of {length}" for name, length in bad.items())
                + f". To leave them dense, exclude them or write NM({self.n}, {self.m}, skip={skip!r})"
            )
        return dict(scores)

    def select(self, scores: Tensor, count: int = 0) -> Tensor:
        """The ``n`` best of every group; ``count`` is not consulted, because the pattern fixes it.

        Raises:
            UsageError: the rows of ``scores`` cannot be cut into groups of ``m``, or a score is NaN.
        """
        _matrix(scores, "N:M")  # NaN and dimension check
        if math.prod(scores.shape[1:]) % self.m:
            raise UsageError(f"rows of {math.prod(scores.shape[1:])} weights cannot be cut into groups of {self.m}")
        ordered = scores.detach().movedim(1, -1)
        groups = flat_scores(ordered).reshape(-1, self.m).T.copy()
        kept = np.empty(groups.shape, dtype=np.bool_)
        for i in range(self.m):  # the rank of position i among its group; m is small, so m * m vector comparisons
            rivals = np.zeros(groups.shape[1], dtype=np.int32)
            for j in range(self.m):
                if j != i:
                    rivals += groups[j] >= groups[i] if j < i else groups[j] > groups[i]
            kept[i] = rivals < self.n
        mask = torch.from_numpy(kept.T.copy()).reshape(ordered.shape).movedim(-1, 1)
        return mask.contiguous().to(scores.device)


@dataclass(frozen=True)
class Block(Pattern):
    """Blocks of ``rows x cols`` weights live or die together, ranked by the mean of their scores.

    A weight is read as the matrix (out, in * kernel).  A layer keeps ``ceil(count / (rows * cols))`` blocks, so it
    exceeds its budget by less than one block.  A layer that cannot be cut into whole blocks is an error that names it;
    name it in ``skip`` to leave it dense.

    Attributes:
        rows: outputs per block.
        cols: weights per row of a block.
        skip: name or names of layers to leave dense; stored as a tuple.
    """

    rows: int
    cols: int
    skip: str | Collection[str] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.rows, int) and isinstance(self.cols, int) and self.rows >= 1 and self.cols >= 1):
            raise UsageError(f"a block needs whole numbers of at least 1; got Block({self.rows!r}, {self.cols!r})")
        object.__setattr__(self, "skip", layer_names(self.skip, "skip"))

    def rank(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every score replaced by the mean of its block; UsageError naming all layers that do not fit."""
        _check_skip(scores, self.skip, f"Block({self.rows}, {self.cols})")
        bad = [
            f"layer {name!r} of shape {tuple(t.shape)}"
            for name, t in scores.items()
            if name not in self.skip and (t.dim() < 2 or t.shape[0] % self.rows or math.prod(t.shape[1:]) % self.cols)
        ]
        if bad:
            raise UsageError(
                f"blocks of {self.rows} x {self.cols} do not divide {', '.join(bad)} (read as out x rest); "
                "choose another block or name these layers in skip to leave them dense"
            )
        return {name: t if name in self.skip else self._means(t) for name, t in scores.items()}

    def _means(self, scores: Tensor) -> Tensor:
        matrix = _matrix(scores, "Block")
        cut = matrix.reshape(matrix.shape[0] // self.rows, self.rows, -1, self.cols)
        # Scores of -inf mark weights that may not return (nested_scores): they count as nothing in a block that lives.
        gone = np.isneginf(cut)
        means = np.where(gone, 0.0, cut).mean(axis=(1, 3), dtype=np.float64)  # numpy: the same on any thread count
        means = np.where(gone.all(axis=(1, 3)), -np.inf, means).astype(matrix.dtype)
        spread = means.repeat(self.rows, axis=0).repeat(self.cols, axis=1)
        return torch.from_numpy(spread).reshape(scores.shape).to(scores.device)

    def select(self, scores: Tensor, count: int) -> Tensor:
        """The best whole blocks (see :class:`Pattern`); ``scores`` come from :meth:`rank`."""
        matrix = _matrix(scores, "Block")
        corners = np.ascontiguousarray(matrix[:: self.rows, :: self.cols])  # equal inside a block
        kept = flat_top_k(corners.reshape(-1), -(-count // (self.rows * self.cols))).reshape(corners.shape)
        mask = torch.from_numpy(kept.repeat(self.rows, axis=0).repeat(self.cols, axis=1))
        return mask.reshape(scores.shape).to(scores.device)


def _check_skip(scores: Mapping[str, Tensor], skip: Collection[str], pattern: str) -> None:
    unknown = sorted(set(skip) - set(scores))
    if unknown:
        raise UsageError(f"{pattern}: skip names layers that do not exist: {unknown}; the layers are {list(scores)}")


def check_pattern_sparsity(pattern: Pattern, sparsity: float) -> None:
    """UsageError unless the pattern can hold the sparsity: N:M has exactly one, the others any in [0, 1)."""
    if isinstance(pattern, NM) and abs(sparsity - pattern.sparsity) > ROUNDING_GUARD:
        raise UsageError(
            f"{pattern.n}:{pattern.m} fixes the sparsity at {pattern.sparsity:.6g}; got {sparsity!r}. "
            f"Ask for sparsity={pattern.sparsity:.6g} or for another pattern"
        )
