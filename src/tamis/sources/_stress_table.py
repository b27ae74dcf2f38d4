"""The stress test for a table with a source column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tamis.errors import UsageError
from tamis.sources._flea import FLEA
from tamis.sources._roles import SieveOptions, arrays_of, number_of_clean
from tamis.sources._stress import ATTACKS, SHARES, Stress, stress_sources
from tamis.sources._table import DataTable


def stress_table(
    table: DataTable,
    options: SieveOptions,
    *,
    adversaries: Sequence[str] = ATTACKS,
    shares: Sequence[float] = SHARES,
    trials: int = 5,
    random_state: int = 0,
    progress: Callable[[], object] | None = None,
) -> Stress:
    """Which manipulations of its sources :func:`sieve_table` would notice in a table, with the same options.

    Args:
        table: of :func:`read_table`.
        options: ``sensitive`` is needed: most adversaries change it.
        adversaries, shares, trials, random_state, progress: as in :func:`stress_sources`.

    Raises:
        UsageError: a column is missing or does not fit, or as :func:`stress_sources`.
    """
    if not options.sensitive:
        raise UsageError("a stress test needs --sensitive COLUMN: most adversaries manipulate the groups")
    part = arrays_of(table, options)
    selector = FLEA(
        n_clean=number_of_clean(options.clean, len(np.unique(part.sources))),
        disparity=options.disparity,
        include_sensitive=True,
        n_jobs=options.n_jobs,
        on_empty_group="max",  # an adversary may leave a source without one of the groups
    )
    return stress_sources(
        part.features.values,
        part.y,
        sensitive_features=part.a,
        sources=part.sources,
        adversaries=adversaries,
        shares=shares,
        trials=trials,
        selector=selector,
        random_state=random_state,
        progress=progress,
    )
