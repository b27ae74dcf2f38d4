"""Comparing sources whose rows stay where they are: a coordinator asks, the sources answer with sums over their rows.

A source publishes its size, the sizes of its cells, and mean and variance of its columns; it then answers batches of
coefficients with losses, gradients, Hessians and counts of decisions.  The solver for pooled rows forms the same sums,
so the result is the same.  Gradients tell much about rows: this keeps rows in place, it does not keep them private.  A
source that lies in its answers is not covered by the guarantee.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tamis.errors import UsageError
from tamis.sources import _arguments
from tamis.sources._merging import CELLS
from tamis.sources._packing import SourceSummary, pack_source
from tamis.sources._pair import Wanted
from tamis.sources._rounds import estimate_in_rounds, orient
from tamis.sources._terms import Answer, Question, Term, answer

Message = Mapping[str, NDArray[Any]]

MOST_BYTES = 1 << 31


class SourceClient(Protocol):
    """How the coordinator reaches a source: a :class:`FederatedSource`, or anything that passes messages to one."""

    def summary(self) -> Message:
        """What :meth:`FederatedSource.summary` returns."""

    def answer(self, request: Message) -> Message:
        """What :meth:`FederatedSource.answer` returns."""


class FederatedSource:
    """What a provider runs beside its rows.

    Args:
        X: ``(n, d)``, numeric and finite, the same columns at every provider.
        y: ``(n,)`` of 0 and 1.
        sensitive_features: ``(n,)`` of 0 and 1; None at every provider compares by discrepancy only.
        include_sensitive: append the sensitive feature to X; the same at every provider.

    Raises:
        UsageError: a value or a shape does not fit, or there is no row.
    """

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        include_sensitive: bool = True,
    ) -> None:
        _arguments.check_numeric(X)
        rows = np.asarray(X, dtype=np.float64)
        if rows.ndim != 2 or not rows.size:
            raise UsageError(f"a source needs rows and columns, got an array of shape {rows.shape}")
        _arguments.check_finite(rows)
        label = _zero_or_one(y, "y", len(rows))
        group = None
        if sensitive_features is not None:
            group = _zero_or_one(sensitive_features, "sensitive_features", len(rows))
            if include_sensitive:
                rows = np.column_stack([rows, group])
        self._packed = pack_source(rows, label, group)
        self._groups = group is not None

    def summary(self) -> dict[str, NDArray[Any]]:
        """What the source tells about itself.

        Returns:
            ``cells`` int64 ``(4,)``, rows with (y, a) = (0, 0), (0, 1), (1, 0), (1, 1); ``centre``, ``mean`` and
            ``variance`` float64 ``(d,)`` (the mean is that of centred columns: rounding); ``groups`` bool ``()``,
            whether groups are known.
        """
        s = self._packed.summary
        return {
            "cells": s.cells,
            "centre": s.centre,
            "mean": s.mean,
            "variance": s.variance,
            "groups": np.array(self._groups),
        }

    def answer(self, request: Message) -> dict[str, NDArray[Any]]:
        """Sums over the rows at a batch of coefficients.

        Args:
            request: ``terms`` int64 ``(B,)``, which sums; ``coefficients`` float64 ``(B, d + 1)``, intercept first, for
                columns minus the source's centre; ``hessians`` bool ``(B,)``, whether second derivatives are asked for.

        Returns:
            ``values`` float64 ``(B,)``; ``gradients`` float64 ``(B, d + 1)`` (counts of positive decisions per group in
            the first two places where decisions were asked for); ``hessians`` float64 ``(H, d + 1, d + 1)``.

        Raises:
            UsageError: the request is of another form.
        """
        size = self._packed.rows.shape[1] + 1
        terms = _field(request, "terms", np.int64, (None,))
        coefficients = _field(request, "coefficients", np.float64, (len(terms), size))
        wanted = _field(request, "hessians", np.bool_, (len(terms),))
        if not np.isin(terms, list(Term)).all():
            raise UsageError("the request asks for a sum that does not exist; coordinator and source differ in version")
        values, gradients = np.zeros(len(terms)), np.zeros((len(terms), size))
        hessians = []
        for b, (term, at, hessian) in enumerate(zip(terms.tolist(), coefficients, wanted.tolist(), strict=True)):
            found = answer(self._packed, Question(Term(term), at, hessian))
            values[b] = found.value
            gradients[b, : len(found.gradient)] = found.gradient
            if found.hessian is not None:
                hessians.append(found.hessian)
        stacked = np.stack(hessians) if hessians else np.zeros((0, size, size))
        return {"values": values, "gradients": gradients, "hessians": stacked}


def message_to_bytes(message: Message) -> bytes:
    """A request, an answer or a summary as bytes, for any transport."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(message))
    return buffer.getvalue()


def message_from_bytes(data: bytes) -> dict[str, NDArray[Any]]:
    """The message in ``data``; nothing in it is executed.

    Raises:
        UsageError: it is no message.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            if sum(entry.file_size for entry in archive.zip.infolist()) > MOST_BYTES:
                raise ValueError("it unpacks to more than 2 GiB")
            found = {name: archive[name] for name in archive.files}
        if not all(isinstance(value, np.ndarray) for value in found.values()):
            raise ValueError("it holds something else than arrays")
        return found
    except Exception:  # zipfile, zlib and NumPy raise many kinds for damaged bytes
        raise UsageError(f"a message of {len(data)} bytes cannot be read; was it damaged on the way?") from None


class Coordinator:
    """Asks clients in rounds.  Their answers are checked for form, which finds accidents and no lies."""

    def __init__(self, clients: Mapping[Any, SourceClient]) -> None:
        self.names = list(clients)
        self._clients = list(clients.values())
        with ThreadPoolExecutor(max_workers=min(len(self._clients), 64)) as crew:
            told = list(crew.map(lambda client: client.summary(), self._clients))
        self.summaries = [_summary(message, name) for message, name in zip(told, self.names, strict=True)]
        widths = {len(s.centre) for s in self.summaries}
        if len(widths) > 1:
            raise UsageError(f"the sources have different numbers of columns: {sorted(widths)}")
        groups = {bool(np.asarray(message["groups"])) for message in told}
        if len(groups) > 1:
            raise UsageError("some sources know sensitive features and some do not; all or none must")
        self.groups = groups.pop()
        self.columns = widths.pop()
        self.rounds = 0

    def compare(self, pairs: NDArray[np.int64], wanted: Wanted) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As :func:`tamis.sources._compare.compare`, all pairs in the same rounds."""
        turned = orient(pairs, self.summaries) if len(pairs) else np.zeros(0, dtype=bool)
        oriented = np.where(turned[:, None], pairs[:, ::-1], pairs)
        with ThreadPoolExecutor(max_workers=min(len(self._clients), 64)) as crew:

            def answer_all(batches: Mapping[int, Sequence[Question]]) -> dict[int, list[Answer]]:
                self.rounds += 1
                replies = crew.map(lambda item: self._ask(*item), batches.items())
                return dict(zip(batches, replies, strict=True))

            values, failed = estimate_in_rounds(self.summaries, oriented, wanted, answer_all)
        values[turned] = values[turned][:, [0, 1, 3, 2]]
        return values, failed

    def _ask(self, source: int, questions: Sequence[Question]) -> list[Answer]:
        size = self.columns + 1
        request = {
            "terms": np.array([int(q.term) for q in questions], dtype=np.int64),
            "coefficients": np.stack([q.coefficients for q in questions]),
            "hessians": np.array([q.hessian for q in questions], dtype=bool),
        }
        reply = self._clients[source].answer(request)
        of = f"the answer of source {self.names[source]!r}"
        values = _field(reply, "values", np.float64, (len(questions),), of)
        gradients = _field(reply, "gradients", np.float64, (len(questions), size), of)
        hessians = _field(reply, "hessians", np.float64, (int(request["hessians"].sum()), size, size), of)
        if not all(np.isfinite(part).all() for part in (values, gradients, hessians)):
            raise UsageError(f"{of} holds NaN or infinite numbers")
        left = iter(hessians)
        return [
            Answer(
                float(value),
                gradient[:2] if q.term is Term.DECISIONS else gradient,
                next(left) if q.hessian else None,
            )
            for q, value, gradient in zip(questions, values, gradients, strict=True)
        ]


def _summary(message: Message, name: Any) -> SourceSummary:
    of = f"the summary of source {name!r}"
    cells = _field(message, "cells", np.int64, (CELLS,), of)
    centre = _field(message, "centre", np.float64, (None,), of)
    mean, variance = (_field(message, part, np.float64, centre.shape, of) for part in ("mean", "variance"))
    _field(message, "groups", np.bool_, (), of)
    if cells.min() < 0 or cells.sum() < 1 or not len(centre):
        raise UsageError(f"{of} tells of no rows or no columns; leave an empty source out")
    if not (
        np.isfinite(centre).all() and np.isfinite(mean).all() and np.isfinite(variance).all() and variance.min() >= 0
    ):
        raise UsageError(f"{of} holds numbers that are no means and variances")
    return SourceSummary(int(cells.sum()), cells, centre, mean, variance)


def _field(
    message: Message, name: str, dtype: Any, shape: tuple[int | None, ...], of: str = "the request"
) -> NDArray[Any]:
    """An array of a message; None in ``shape`` stands for any length."""
    if name not in message:
        raise UsageError(f"{of} lacks {name!r}; it has {', '.join(sorted(message)) or 'nothing'}")
    array = np.asarray(message[name])
    fits = array.ndim == len(shape) and all(w is None or w == g for w, g in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        want = tuple("any" if w is None else w for w in shape)
        raise UsageError(
            f"{name!r} in {of} must be {np.dtype(dtype)} of shape {want}, got {array.dtype} of shape {array.shape}"
        )
    return array


def _zero_or_one(values: ArrayLike, name: str, rows: int) -> NDArray[np.int64]:
    column = _arguments.column_of(values, name, rows)
    if column.dtype.kind not in "biuf" or not np.isin(column, (0, 1)).all():
        raise UsageError(f"{name} of a federated source must hold 0 and 1, with the same meaning at every provider")
    return column.astype(np.int64)
