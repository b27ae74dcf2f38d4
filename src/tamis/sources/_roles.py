"""Which columns of a table play which part, and the arrays they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError
from tamis.sources._encode import Features, binary_column, encode_features, named_column
from tamis.sources._table import DataTable


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
        empty_group: what to do with a source without any row of one group: ``"refuse"`` the table, or take the source
            as ``"suspect"``: its disparity to all others is the largest possible.
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
    empty_group: Literal["refuse", "suspect"] = "refuse"
    disparity: Literal["signed", "published"] = "signed"
    n_jobs: int | None = None
    progress: bool = False


class TableArrays(NamedTuple):
    """A table as FLEA takes it; ``classes`` and ``groups`` name what y and a have as 0 and 1."""

    sources: NDArray[Any]
    y: NDArray[np.int64]
    classes: tuple[str, str]
    a: NDArray[np.int64] | None
    groups: tuple[str, str] | None
    features: Features


def arrays_of(table: DataTable, options: SieveOptions) -> TableArrays:
    """The arrays that the options name.

    Raises:
        UsageError: a column is missing, does not fit or plays two parts, or a source has no row of one group.
    """
    roles = [name for name in (options.source, options.target, options.sensitive) if name]
    if len(set(roles)) < len(roles):
        raise UsageError(f"--source, --target and --sensitive must be different columns, got {', '.join(roles)}")
    sources = named_column(table, options.source, "--source")
    y, classes = binary_column(table, options.target, "--target", options.positive)
    a, groups = None, None
    if options.sensitive:
        a, groups = binary_column(table, options.sensitive, "--sensitive", options.group)
    _check_groups(sources, a, groups, options)
    features = encode_features(table, [*roles, *options.drop], options.categorical, options.missing)
    return TableArrays(sources, y, classes, a, groups, features)


def number_of_clean(text: str, sources: int) -> int | float | str | None:
    """``n_clean`` of FLEA for ``SieveOptions.clean`` and that many sources.

    Raises:
        UsageError: it is no number that fits and no name of a rule.
    """
    if text == "auto":
        return text
    if text == "majority":
        return None
    wanted = f"expected auto, majority, 1 to {sources} (the number of sources), or a fraction of them such as 0.8"
    try:
        number = int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
        if not (1 <= number <= sources if isinstance(number, int) else 0 < number <= 1):
            raise ValueError
    except ValueError:
        raise UsageError(f"--clean {text!r}: {wanted}") from None
    return number


def _check_groups(
    sources: NDArray[Any], a: NDArray[np.int64] | None, groups: tuple[str, str] | None, options: SieveOptions
) -> None:
    """Refuse sources without rows of one group while the columns' own names are at hand."""
    if a is None or groups is None or options.empty_group != "refuse":
        return
    names, which = np.unique(sources, return_inverse=True)
    ones, sizes = np.bincount(which, weights=a), np.bincount(which)
    lacking = np.flatnonzero((ones == 0) | (ones == sizes)).tolist() if len(names) > 1 else []
    if not lacking:
        return
    first = lacking[0]
    size = f"{int(sizes[first]):,} row{'s' if sizes[first] != 1 else ''}"
    text = (
        f"source {str(names[first])!r} ({size}) has no row with {options.sensitive} = {groups[int(ones[first] == 0)]!r}"
    )
    if len(lacking) > 1:
        others = ", ".join(repr(str(names[place])) for place in lacking[1:6]) + (", ..." if len(lacking) > 6 else "")
        text += f" and {len(lacking) - 1} more sources lack a group too: {others}"
    raise UsageError(
        f"{text}; groups that are not there cannot be compared: remove the rows, treat such sources as most suspect "
        "with --empty-group suspect, or sieve without --sensitive"
    )
