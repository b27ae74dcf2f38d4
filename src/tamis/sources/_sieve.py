"""From a table with a source column to a record of which sources to keep, and why."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.sources._explain import SourceAccount, explain_sources, in_words
from tamis.sources._flea import FLEA
from tamis.sources._matrices import COMPONENTS
from tamis.sources._roles import SieveOptions, TableArrays, arrays_of, number_of_clean
from tamis.sources._table import DataTable

RECORD_FORMAT = 1
EMPTY_GROUP = "in sensitive_features: its disparity"  # of FLEA's warning


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
    part = arrays_of(table, options)
    selector = FLEA(
        n_clean=number_of_clean(options.clean, len(np.unique(part.sources))),
        disparity=options.disparity,
        include_sensitive=True,
        on_empty_group="max" if options.empty_group == "suspect" else "error",
        n_jobs=options.n_jobs,
        verbose=options.progress,
    )
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        selector.fit(part.features.values, part.y, sensitive_features=part.a, sources=part.sources)
    notes = [str(note.message) for note in noted if note.category is UserWarning]
    # FLEA does not know the names of columns: in its place the reason of that source says what it lacks.
    notes = [note for note in notes if EMPTY_GROUP not in note]
    if len(selector.sources_) == 1:
        notes.append(f"column {options.source!r} names a single source: there is nothing to compare, and all is kept")
    for note in noted:
        if note.category is not UserWarning:
            warnings.warn_explicit(note.message, note.category, note.filename, note.lineno)
    accounts = explain_sources(selector)
    kept = selector.row_mask(part.sources)
    record = _record(table, options, selector, accounts, part, kept, notes)
    return Sieved(selector, accounts, kept, record)


def _record(
    table: DataTable,
    options: SieveOptions,
    selector: FLEA,
    accounts: list[SourceAccount],
    part: TableArrays,
    kept: NDArray[np.bool_],
    notes: list[str],
) -> dict[str, Any]:
    classes, groups, features = part.classes, part.groups, part.features
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
