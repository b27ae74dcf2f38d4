"""True labels of the samples: 0, 1 or missing, for each attribute; also the groups that people belong to."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.arrays import array_names, read_arrays
from tamis.audit._names import check_ids, check_names, rows_of
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic

MISSING = 255
MAX_BYTES = 4 << 30
MAX_EXPANSION = 2000.0  # long runs of equal labels pack well


@dataclass(frozen=True)
class Labels:
    """True values of K attributes (or memberships of K groups) for N samples.

    Attributes:
        values: shape (N, K), uint8: 0, 1, or 255 where unknown.  Given as bool, {0, 1} or {-1, 1}, with NaN or 255 for
            missing.  Class numbers of one softmax, shape (N,): see :meth:`from_classes`.
        ids: shape (N,), text or integers, no two alike; None numbers the rows, which only train labels may leave to us,
            since they are counted and never matched.
        names: the K attributes.
        cluster: shape (N,), whole numbers or text, or None: rows with the same value are not independent (several
            photographs of one person), and intervals draw them together.

    Raises:
        UsageError: wrong shapes, other values, duplicate ids or names.
    """

    values: np.ndarray
    ids: np.ndarray | None
    names: tuple[str, ...]
    cluster: np.ndarray | None = None

    def __post_init__(self) -> None:
        values = _binary(np.asarray(self.values))
        object.__setattr__(self, "values", values)
        ids = np.arange(len(values)) if self.ids is None else self.ids
        object.__setattr__(self, "ids", check_ids(ids, len(values)))
        object.__setattr__(self, "names", check_names(self.names, values.shape[1]))
        if self.cluster is not None:
            cluster = np.asarray(self.cluster)
            if cluster.shape != (len(values),) or cluster.dtype.kind not in "iuU":
                raise UsageError(
                    f"cluster is {cluster.shape} {cluster.dtype}; expected one number or text for each row"
                )
            object.__setattr__(self, "cluster", np.unique(cluster, return_inverse=True)[1].reshape(-1))

    @classmethod
    def from_classes(
        cls, classes: np.ndarray, ids: np.ndarray | None, names: tuple[str, ...], cluster: np.ndarray | None = None
    ) -> Labels:
        """One column for each class from class numbers 0 to K - 1, shape (N,); UsageError for other numbers."""
        given = np.asarray(classes)
        if (
            given.ndim != 1
            or given.dtype.kind not in "iu"
            or (given.size and not 0 <= given.min() <= given.max() < len(names))
        ):
            raise UsageError(
                f"classes are {given.shape} {given.dtype}; expected numbers 0 to {len(names) - 1}, one a row"
            )
        return cls(given[:, None] == np.arange(len(names)), ids, names, cluster)

    def columns(self, names: tuple[str, ...]) -> Labels:
        """The same samples with these columns only, in this order; UsageError for a name that is not there."""
        places = []
        for name in names:
            if name not in self.names:
                raise UsageError(f"no label column {name!r}; there are {', '.join(self.names)}")
            places.append(self.names.index(name))
        return Labels(self.values[:, places], self.ids, names, self.cluster)

    def joined(self, other: Labels, what: str = "groups") -> Labels:
        """These columns and, matched by id, those of ``other``.

        Args:
            other: further columns of the same samples.
            what: how messages call them.

        Raises:
            UsageError: ids do not match, or a column of both has different values.
        """
        assert self.ids is not None
        assert other.ids is not None
        rows = rows_of(other.ids, self.ids, what)
        for place, name in enumerate(other.names):
            if name in self.names:
                differ = int((other.values[rows, place] != self.values[:, self.names.index(name)]).sum())
                if differ:
                    raise UsageError(
                        f"{what}: column {name!r} is among the labels too, with other values in {differ:,} of "
                        f"{len(rows):,} rows; rename one of the two, or leave the wrong one out"
                    )
        new = [place for place, name in enumerate(other.names) if name not in self.names]
        names = (*self.names, *(other.names[place] for place in new))
        return Labels(np.hstack([self.values, other.values[rows][:, new]]), self.ids, names, self.cluster)

    @property
    def digest(self) -> str:
        """SHA-256 of values, ids and names."""
        assert self.ids is not None
        found = hashlib.sha256()
        for part in (self.values, self.ids.astype("U"), np.array(self.names)):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).data.cast("B") if part.size else b"")
        return found.hexdigest()

    def save(self, path: str | os.PathLike[str], train: Labels | None = None) -> Path:
        """Write an ``.npz`` file atomically with the arrays labels, ids, names, and cluster where there is one.

        Args:
            path: the file.
            train: labels of the training samples with at least these columns, kept beside them as ``train_labels``.
        """
        assert self.ids is not None  # numbered by __post_init__
        stream = io.BytesIO()
        arrays: dict[str, Any] = {"labels": self.values, "ids": self.ids, "names": np.array(self.names)}
        if self.cluster is not None:
            arrays["cluster"] = self.cluster
        if train is not None:
            arrays["train_labels"] = train.columns(self.names).values
        np.savez_compressed(stream, **arrays)
        return write_atomic(path, stream.getvalue())

    @classmethod
    def load_train(cls, path: str | os.PathLike[str]) -> Labels | None:
        """The training labels that :meth:`save` kept beside the others, or None; raises as :meth:`load`."""
        file = Path(path)
        if "train_labels" not in array_names(file):
            return None
        found = read_arrays(file, ["train_labels", "names"], MAX_BYTES, MAX_EXPANSION)
        try:
            return _labelled(cls, found["train_labels"], None, found["names"], None)
        except UsageError as error:
            raise FileError(f"{file}: train_labels: {error}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Labels:
        """Read the arrays labels, ids, names and perhaps cluster of an ``.npz`` file; nothing is unpickled.

        Raises:
            FileError: the file is missing, damaged, foreign, too large, or holds what ``Labels`` refuses.
        """
        file = Path(path)
        wanted = ["labels", "ids", "names", *(["cluster"] if "cluster" in array_names(file) else [])]
        found = read_arrays(file, wanted, MAX_BYTES, MAX_EXPANSION)
        try:
            return _labelled(cls, found["labels"], found["ids"], found["names"], found.get("cluster"))
        except UsageError as error:
            raise FileError(f"{file}: {error}") from None


def _labelled(
    kind: type[Labels], values: np.ndarray, ids: np.ndarray | None, names: np.ndarray, cluster: np.ndarray | None
) -> Labels:
    """Labels from the arrays of a file: one number a row under several names is a class."""
    given = tuple(np.atleast_1d(names).tolist())
    if values.ndim == 1 and len(given) > 1:
        return kind.from_classes(values, ids, given, cluster)
    return kind(values, ids, given, cluster)


def _binary(values: np.ndarray) -> np.ndarray:
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or 0 in values.shape:
        raise UsageError(f"labels have shape {values.shape}; expected (samples, attributes), neither of them 0")
    if values.dtype.kind not in "biuf":
        raise UsageError(f"labels have dtype {values.dtype}; expected 0 and 1, -1 and 1, or bool")
    missing = values == MISSING
    if values.dtype.kind == "f":
        missing |= np.isnan(values)
    positive = values == 1
    negative = (values == 0) | (values == -1)
    strange = ~(missing | positive | negative)
    if strange.any():
        raise UsageError(
            f"labels hold the value {values[strange][0]}; expected 0 and 1, or -1 and 1, with 255 or NaN for missing"
        )
    if ((values == 0).any(axis=0) & (values == -1).any(axis=0)).any():
        raise UsageError(
            "a label column holds both 0 and -1; expected 0 and 1, or -1 and 1, with 255 or NaN for missing"
        )
    found = np.full(values.shape, MISSING, np.uint8)
    found[positive] = 1
    found[negative] = 0
    return found
