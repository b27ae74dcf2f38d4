"""Stored outputs of one model on one set of samples: all that an audit needs to know of a model."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tamis.arrays import read_arrays
from tamis.audit._names import check_ids, check_names
from tamis.documents import json_object
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic

Axis = Literal["sparsity", "bits"]
Task = Literal["multilabel", "multiclass"]

FORMAT = "tamis.outputs/1"
MAX_BYTES = 4 << 30
MAX_EXPANSION = 50.0


@dataclass(frozen=True)
class Outputs:
    """Logits of one model, the identity of each row, and where the model comes from.

    Attributes:
        logits: shape (N, K), float32 or float64; half precision is widened to float32.  With ``task="multilabel"`` each
            column is one attribute with a threshold of its own; a binary model has K = 1.  With ``task="multiclass"``
            each row is one softmax over K classes.
        ids: shape (N,), text or integers, no two alike.  Rows are matched by these and never by position.
        names: the K attributes or classes.
        model: what the network is called (``resnet20``); free text.
        method: what made it small (``dense``, ``gmp``, ``int8``); free text.
        level: how small: the *measured* share of zeros in [0, 1), or bits per weight.  0 for a dense model.
        axis: what ``level`` counts.
        seed: training seed, which pairs a compressed model with its dense twin.
        dense_seed: seed of the dense model that this one was made from, where that differs from ``seed``.
        task: what the logits mean.
        meta: anything else that JSON can hold: recipe, data version.  Compared between dense and compressed models for
            the key ``recipe``.

    Raises:
        UsageError: wrong shapes or dtypes, NaN or infinite logits, duplicate ids or names.
    """

    logits: np.ndarray
    ids: np.ndarray
    names: tuple[str, ...]
    model: str = ""
    method: str = ""
    level: float = 0.0
    axis: Axis = "sparsity"
    seed: int = 0
    dense_seed: int | None = None
    task: Task = "multilabel"
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        logits = np.asarray(self.logits)
        if logits.ndim != 2 or 0 in logits.shape:
            raise UsageError(f"logits have shape {logits.shape}; expected (samples, attributes), neither of them 0")
        if logits.dtype.kind not in "fiu":
            raise UsageError(f"logits have dtype {logits.dtype}; expected float32 or float64")
        with np.errstate(over="ignore"):  # what is too large for float64 becomes infinite and is refused below
            logits = logits.astype(
                np.float32 if logits.dtype.itemsize < 4 or logits.dtype == np.float32 else np.float64, copy=False
            )
        if not np.isfinite(logits).all():
            row, column = np.argwhere(~np.isfinite(logits))[0]
            raise UsageError(f"logits[{row}, {column}] is {logits[row, column]}; expected finite numbers everywhere")
        if self.axis not in ("sparsity", "bits"):
            raise UsageError(f"axis={self.axis!r}; expected 'sparsity' or 'bits'")
        if self.task not in ("multilabel", "multiclass"):
            raise UsageError(f"task={self.task!r}; expected 'multilabel' or 'multiclass'")
        if self.task == "multiclass" and logits.shape[1] < 2:
            raise UsageError("task='multiclass' with one column of logits; expected at least two classes")
        level = float(self.level)
        if not (0 <= level < 1 if self.axis == "sparsity" else 0 <= level <= 64):
            expected = "a share of zeros in [0, 1)" if self.axis == "sparsity" else "bits from 0 to 64"
            raise UsageError(f"level={self.level!r}; expected {expected}")
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "ids", check_ids(self.ids, len(logits)))
        object.__setattr__(self, "names", check_names(self.names, logits.shape[1]))
        object.__setattr__(self, "level", level)
        object.__setattr__(self, "seed", int(self.seed))
        object.__setattr__(self, "dense_seed", None if self.dense_seed is None else int(self.dense_seed))
        object.__setattr__(self, "meta", _plain(self.meta))

    @property
    def partner(self) -> int:
        """Seed of the dense model that this one is compared with."""
        return self.seed if self.dense_seed is None else self.dense_seed

    @property
    def digest(self) -> str:
        """SHA-256 of logits, ids and names: what the audit's numbers depend on."""
        found = hashlib.sha256()
        for part in (self.logits, self.ids.astype("U"), np.array(self.names)):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).data.cast("B") if part.size else b"")
        return found.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file atomically: logits, ids, names, and the rest as JSON text.  Raises OSError."""
        about = {
            "format": FORMAT,
            **{key: getattr(self, key) for key in ("model", "method", "level", "axis", "seed", "dense_seed", "task")},
            "meta": self.meta,
        }
        text = json.dumps(about, sort_keys=True, allow_nan=False)
        stream = io.BytesIO()
        np.savez(stream, logits=self.logits, ids=self.ids, names=np.array(self.names), about=np.array(text))
        return write_atomic(path, stream.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Outputs:
        """Read a file of :meth:`save`; nothing is unpickled.

        Raises:
            FileError: the file is missing, damaged, foreign, too large, or holds what ``Outputs`` refuses; the message
                names it.
        """
        file = Path(path)
        found = read_arrays(file, ("logits", "ids", "names", "about"), MAX_BYTES, MAX_EXPANSION)
        try:
            about = json_object(str(found["about"][()]), "about")
            if about.pop("format", None) != FORMAT:
                raise UsageError(f"found no mark {FORMAT!r}; expected a file that Outputs.save wrote")
            if not isinstance(about.get("meta", {}), dict):
                raise UsageError("meta is no table; expected a JSON object")
            known = ("model", "method", "level", "axis", "seed", "dense_seed", "task", "meta")
            return cls(found["logits"], found["ids"], tuple(np.atleast_1d(found["names"]).tolist()), **{
                key: value for key, value in about.items() if key in known
            })  # fmt: skip
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise FileError(f"{file}: {error}") from None


def _plain(meta: Mapping[str, Any]) -> dict[str, Any]:
    """``meta`` as JSON gives it back; UsageError if JSON cannot hold it."""
    try:
        return dict(json.loads(json.dumps(dict(meta), allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"meta cannot be written as JSON ({error}); expected numbers, text, lists and tables"
        ) from None
