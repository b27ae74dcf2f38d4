"""What tells a source apart from those that were kept, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tamis.sources._flea import FLEA
from tamis.sources._matrices import COMPONENTS


@dataclass(frozen=True)
class SourceAccount:
    """One source beside the kept ones.

    Attributes:
        name: of the source.
        rows: its size.
        kept: whether FLEA keeps it.
        rank: 1 for the smallest score.
        score: q.
        components: component -> median of its distances to the kept sources (itself left out).
        usual: component -> the median of that number over the kept sources.
        largest: the component that exceeds its usual value most; empty if there is none to compare with.
        positive_share: share of rows with the second class.
        group_share: share of rows with the second group; NaN without groups.
    """

    name: str
    rows: int
    kept: bool
    rank: int
    score: float
    components: dict[str, float]
    usual: dict[str, float]
    largest: str
    positive_share: float
    group_share: float


def explain_sources(selector: FLEA) -> list[SourceAccount]:
    """An account of every source of a fitted selector, best first."""
    kept = selector.support_
    matrices = {name: getattr(selector, f"{name}_") for name in COMPONENTS if getattr(selector, f"{name}_") is not None}
    typical = {
        name: np.array([_median(matrix[kept & (np.arange(len(kept)) != i), i]) for i in range(len(kept))])
        for name, matrix in matrices.items()
    }
    usual = {name: _median(values[kept]) for name, values in typical.items()}
    accounts = []
    for i in np.argsort(selector.ranking_, kind="stable").tolist():
        excess = {name: typical[name][i] - usual[name] for name in matrices if np.isfinite(typical[name][i])}
        accounts.append(
            SourceAccount(
                name=str(selector.sources_[i]),
                rows=int(selector.source_sizes_[i]),
                kept=bool(kept[i]),
                rank=int(selector.ranking_[i]),
                score=float(selector.scores_[i]),
                components={name: float(values[i]) for name, values in typical.items()},
                usual=usual,
                largest=max(excess, key=lambda name: excess[name]) if excess and len(kept) > 1 else "",
                positive_share=float(selector.positive_shares_[i]),
                group_share=float(selector.group_shares_[i]),
            )
        )
    return accounts


FEW = 0.25  # of the rows of a usual source; distances grow by chance as one over the root of the rows


def in_words(account: SourceAccount, accounts: list[SourceAccount], classes: Any, groups: Any) -> str:
    """A few sentences on why a source was rejected: its largest component, where to look, and whether it is small.

    Args:
        account: of the source.
        accounts: of all sources, for what is usual among the kept ones.
        classes: names of the two classes.
        groups: names of the two groups, or None.
    """
    if not account.largest:
        return "There is no kept source to compare it with."
    usual_rows = float(np.median([other.rows for other in accounts if other.kept]))
    few = ""
    if account.rows < FEW * usual_rows:
        rows = f"{account.rows:,} row{'s' if account.rows != 1 else ''}"
        few = (
            f" It has {rows} only, kept sources have {usual_rows:,.0f} at the median: in few rows distances are large "
            "by chance, so this says little about its provider."
        )
    return _largest_in_words(account, accounts, classes, groups) + few


def _largest_in_words(account: SourceAccount, accounts: list[SourceAccount], classes: Any, groups: Any) -> str:
    found, usual = account.components[account.largest], account.usual[account.largest]
    numbers = f"{100 * found:.0f} points, where {100 * usual:.0f} are usual"
    others = [other for other in accounts if other.kept]
    if account.largest == "discrepancy":
        share = _median(np.array([other.positive_share for other in others]))
        return (
            "Its labels follow other rules: the error rate of some linear classifier differs between this source and a "
            f"kept one by {numbers}. {_percent(account.positive_share)} of its rows are {classes[1]!r}, usual are "
            f"{_percent(share)}. Look for labels that were swapped, guessed or copied from another column."
        )
    share = _median(np.array([other.group_share for other in others]))
    if account.largest == "disparity" and account.group_share in (0.0, 1.0):
        lacking = groups[int(account.group_share == 0)]
        return (
            f"None of its rows has group {lacking!r}, so that the two groups cannot be compared in it and its "
            "disparity is taken as the largest possible. Look for a group that was left out or renamed."
        )
    if account.largest == "disparity":
        return (
            f"It links features and groups in another way: some linear classifier's gap between {groups[0]!r} and "
            f"{groups[1]!r} differs by {numbers}. Look at how the groups were recorded, and for groups that were "
            "swapped or overwritten."
        )
    return (
        f"Its groups have other sizes: {_percent(account.group_share)} of its rows are {groups[1]!r}, usual are "
        f"{_percent(share)}. Look for a group that was left out, added or renamed."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _median(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
