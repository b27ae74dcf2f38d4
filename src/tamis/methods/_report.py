"""What a run has done so far, as one dict of JSON types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tamis.methods._checkpoint import describe


def build_report(sparsifier: Any) -> dict[str, Any]:
    """Configuration, position, events, history and a table of layers.

    Returns:
        ``configuration`` (the choices), ``step``, ``phase``, ``sparsity`` (the last mask's, over the governed layers),
        ``sparsity_over_pruned``, ``sparsity_over_all``, ``layers`` (rows ``name``, ``live``, ``total``, ``sparsity``),
        ``events`` (:class:`~tamis.methods._records.MaskRecorder`), ``phases`` (:func:`phase_table`).
    """
    pruned = [event for event in sparsifier.events if "hash" in event]
    last = pruned[-1] if pruned else None
    rows = sparsifier._history.rows(sparsifier.step, sparsifier._supports)
    return {
        "configuration": describe(sparsifier),
        "step": sparsifier.step,
        "phase": sparsifier.phase,
        **{key: last[key] if last else 0.0 for key in ("sparsity", "sparsity_over_pruned", "sparsity_over_all")},
        "layers": [
            {"name": name, "live": row["live"], "total": row["total"], "sparsity": 1.0 - row["live"] / row["total"]}
            for name, row in (last["layers"] if last else {}).items()
        ],
        "events": list(sparsifier.events),
        "phases": phase_table(rows),
    }


def phase_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per interval: ``start``, ``end``, ``phase``, live and exactly non-zero weights, and the share of exact zeros.

    ``zero_share`` of a dense phase says how dense it really was: weights that came back as zeros and got no gradient
    stay zero, and at a high sparsity without a floor most of them do.
    """
    table = []
    for row in rows:
        live, nonzero = sum(row["live"].values()), sum(row["nonzero"].values())
        table.append(
            {
                "start": row["start"],
                "end": row["end"],
                "phase": row["phase"],
                "live": live,
                "nonzero": nonzero,
                "zero_share": 1.0 - nonzero / live if live else 0.0,
                "nonzero_by_layer": dict(row["nonzero"]),
            }
        )
    return table
