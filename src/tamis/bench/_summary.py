"""What many results say together: geometric means over the cases, and what more threads bring."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from tamis.bench._rounding import rounded
from tamis.bench._table import geometric_mean


def mean_speedups(results: Sequence[Any]) -> list[dict[str, Any]]:
    """Geometric means of ours over dense torch and over each peer, by threads and sparsity, in the order measured.

    ``cases`` counts the cases that a mean is over: a peer that cannot serve a case, or is wrong there, is left out.
    """
    found = []
    for threads, sparsity in dict.fromkeys((r.threads, r.sparsity) for r in results):
        group = [r for r in results if (r.threads, r.sparsity) == (threads, sparsity)]
        ratios = {"dense": [r.speedup for r in group]}
        for name in dict.fromkeys(name for r in group for name in r.peers):
            ratios[name] = [ratio for r in group if (ratio := r.speedup_over(name)) is not None]
        found += [
            {
                "threads": threads, "sparsity": sparsity, "over": name, "cases": len(values),
                "geometric_mean": rounded(geometric_mean(values)), "least": rounded(min(values)),
                "most": rounded(max(values)),
            }
            for name, values in ratios.items() if values
        ]  # fmt: skip
    return found


def thread_scaling(rows: Sequence[dict[str, Any]], case: str) -> list[dict[str, Any]]:
    """Wall time with the fewest threads over that with more, by case, sparsity and contestant.

    Args:
        rows: flat results, with ``threads``, ``sparsity`` and ``NAME_wall_ms``.
        case: the column that names the case.
    """
    found = []
    for name, sparsity in dict.fromkeys((row[case], row["sparsity"]) for row in rows):
        group = sorted(
            (row for row in rows if (row[case], row["sparsity"]) == (name, sparsity)), key=lambda row: row["threads"]
        )
        for more in group[1:]:
            walls = [k for k in more if k.endswith("_wall_ms") and more[k] and group[0].get(k)]
            ratios = {key.removesuffix("_wall_ms"): rounded(group[0][key] / more[key], 2) for key in walls}
            found.append({case: name, "sparsity": sparsity, "threads": f"{group[0]['threads']} to {more['threads']}",
                          **ratios})  # fmt: skip
    return found


def waiting(rows: Sequence[dict[str, Any]]) -> float:
    """Median of wall over CPU time of ours with one thread: about 1 on an idle machine; NaN where nothing tells.

    It shows other work on the same processor, which the load average of a machine with several does not.
    """
    shares = [row["ours_wall_ms"] / row["ours_cpu_ms"] for row in rows if row["threads"] == 1 and row["ours_cpu_ms"]]
    return statistics.median(shares) if shares else math.nan
