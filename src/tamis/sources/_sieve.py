"""From a table with a source column to a record of which sources to keep, and why."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError
from tamis.sources._encode import Features, binary_column, encode_features, named_column
from tamis.sources._explain import SourceAccount, explain_sources, in_words
from tamis.sources._flea import FLEA
from tamis.sources._matrices import COMPONENTS
from tamis.sources._table import DataTable

RECORD_FORMAT = 1


@dataclass(frozen=True)
class SieveOptions:
    """Which columns play which part, and how to choose.

    Attributes:
        source: column with the source of each row.
        target: column to predict, two values.
        sensitive: column with the group of each row, two values; empty compares by discrepancy only.
        clean: ``"auto"``, ``"majority"``, or a number or fraction of sources to keep (see ``n_clean`` of FLEA).
        positive: value of the target that counts as 1; empty for the second of two.
        group: value of the sensitive column that counts as 1; empty for the second of two.
        drop: columns that are no features, such as identifiers.
        categorical: columns of numbers that are names.
        missing: ``"refuse"`` or ``"fill"`` (see ``encode_features``).
        disparity: ``"signed"`` or ``"published"``.
        n_jobs: processes for the pairs.
        progress: show a bar on standard error.
    """

    source: str
    target: str
    sensitive: str = ""
    clean: str = "auto"
    positive: str = ""
    group: str = ""
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    missing: Literal["refuse", "fill"] = "refuse"
    disparity: Literal["signed", "published"] = "signed"
    n_jobs: int | None = None
    progress: bool = False


@dataclass(frozen=True)
class Sieved:
    """The outcome: the fitted selector, an account of every source, which rows to keep, and all of it as one record."""

    selector: FLEA
    accounts: list[SourceAccount]
    kept_rows: NDArray[np.bool_]
    record: dict[str, Any]


def sieve_table(table: DataTable, options: SieveOptions) -> Sieved:
    """Compare the sources of a table and choose.

    The record holds nothing of time or machine: equal tables and options give equal records.

    Raises:
        UsageError: a column is missing or does not fit; every message names it and says what to do.
    """
    sources = named_column(table, options.source, "--source")
    y, classes = binary_column(table, options.target, "--target", options.positive)
    a, groups = None, None
    if options.sensitive:
        a, groups = binary_column(table, options.sensitive, "--sensitive", options.group)
    roles = [name for name in (options.source, options.target, options.sensitive) if name]
    if len(set(roles)) < len(roles):
        raise UsageError(f"--source, --target and --sensitive must be different columns, got {', '.join(roles)}")
    _check_groups(sources, a, groups, options)
    features = encode_features(table, [*roles, *options.drop], options.categorical, options.missing)
    selector = FLEA(
        n_clean=_n_clean(options.clean),
        disparity=options.disparity,
        include_sensitive=True,
        n_jobs=options.n_jobs,
        verbose=options.progress,
    )
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        selector.fit(features.values, y, sensitive_features=a, sources=sources)
    notes = [str(note.message) for note in noted if note.category is UserWarning]
    if len(selector.sources_) == 1:
        notes.append(f"column {options.source!r} names a single source: there is nothing to compare, and all is kept")
    for note in noted:
        if note.category is not UserWarning:
            warnings.warn_explicit(note.message, note.category, note.filename, note.lineno)
    accounts = explain_sources(selector)
    kept = selector.row_mask(sources)
    record = _record(table, options, selector, accounts, features, kept, (classes, groups), notes)
    return Sieved(selector, accounts, kept, record)


def _n_clean(text: str) -> int | float | str | None:
    if text == "auto":
        return text
    if text == "majority":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise UsageError(f"--clean {text!r}: expected auto, majority, a number of sources, or a fraction such as 0.8")


def _check_groups(
    sources: NDArray[Any], a: NDArray[np.int64] | None, groups: tuple[str, str] | None, options: SieveOptions
) -> None:
    """Refuse sources without rows of one group while the columns' own names are at hand."""
    if a is None or groups is None:
        return
    names, which = np.unique(sources, return_inverse=True)
    ones, sizes = np.bincount(which, weights=a), np.bincount(which)
    for place in np.flatnonzero((ones == 0) | (ones == sizes)).tolist() if len(names) > 1 else ():
        raise UsageError(
            f"source {str(names[place])!r} ({int(sizes[place])} rows) has no row with {options.sensitive} = "
            f"{groups[int(ones[place] == 0)]!r}, so its groups cannot be compared; remove its rows, or sieve without "
            "--sensitive"
        )


def _record(
    table: DataTable,
    options: SieveOptions,
    selector: FLEA,
    accounts: list[SourceAccount],
    features: Features,
    kept: NDArray[np.bool_],
    values: tuple[tuple[str, str], tuple[str, str] | None],
    notes: list[str],
) -> dict[str, Any]:
    classes, groups = values
    matrices = {"distance": selector.distances_}
    matrices |= {
        name: getattr(selector, f"{name}_") for name in COMPONENTS if getattr(selector, f"{name}_") is not None
    }
    return {
        "format": RECORD_FORMAT,
        "file": table.path.name,
        "sha256": table.digest,
        "rows": table.rows,
        "rows_kept": int(kept.sum()),
        "kept": [account.name for account in accounts if account.kept],
        "rejected": [account.name for account in accounts if not account.kept],
        "sources": [
            {
                "name": account.name,
                "rows": account.rows,
                "kept": account.kept,
                "rank": account.rank,
                "score": _rounded(account.score),
                "components": {name: _rounded(value) for name, value in account.components.items()},
                "largest_component": account.largest or None,
                "positive_share": _rounded(account.positive_share),
                "group_share": _rounded(account.group_share),
                "why": "" if account.kept else in_words(account, accounts, classes, groups),
            }
            for account in accounts
        ],
        "usual": {name: _rounded(value) for name, value in accounts[0].usual.items()},
        "notes": notes,
        "fits_that_hit_a_limit": int(selector.n_not_converged_),
        "columns": {
            "source": options.source,
            "target": options.target,
            "sensitive": options.sensitive or None,
            "classes": list(classes),
            "groups": None if groups is None else list(groups),
            "numeric": list(features.numeric),
            "categories": {name: list(levels) for name, levels in features.levels.items()},
            "left_out": list(options.drop),
            "missing_values_filled": features.filled,
        },
        "clean": options.clean,
        "sources_kept": int(selector.n_clean_),
        "disparity": options.disparity if groups is not None else None,
        "order": [str(name) for name in selector.sources_.tolist()],
        "matrices": {
            name: [[_rounded(v) for v in row] for row in matrix.tolist()] for name, matrix in matrices.items()
        },
    }


def _rounded(value: float) -> float | None:
    return round(value, 12) if math.isfinite(value) else None
