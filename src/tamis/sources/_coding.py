"""How the rows of one source become numbers: labels and groups as 0 and 1, the group as a column or not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError
from tamis.sources._arguments import encode
from tamis.sources._packing import PackedSource, SourceSummary, pack_source

EMPTY_GROUP = "source {name!r} has no row with {group} in sensitive_features"


@dataclass(frozen=True)
class Coding:
    """The two values of the label and of the group, and what is done with the group.

    Attributes:
        classes: the two values of y.
        groups: the two values of the sensitive feature; None if there is none.
        appended: whether the coded group becomes the last column of X.
        both_groups: whether each source needs rows of both groups.
        on_empty_group: ``"error"`` or ``"max"``, for a source that lacks one.
    """

    classes: NDArray[Any]
    groups: NDArray[Any] | None
    appended: bool
    both_groups: bool
    on_empty_group: str

    def pack(self, X: NDArray[np.float64], y: NDArray[Any], a: NDArray[Any] | None, name: Any) -> PackedSource:
        """The rows of the source ``name``, equal ones merged.

        Args:
            X: float64 ``(n, d)``.
            y: ``(n,)`` of ``classes``.
            a: ``(n,)`` of ``groups``; None if there are none.
            name: for messages.

        Raises:
            UsageError: another label or group occurs, or a group is missing and must not be.
        """
        label, group = encode(y, self.classes, "y"), None
        if a is not None and self.groups is not None:
            group = encode(a, self.groups, "sensitive_features")
            if self.appended:
                X = np.column_stack([X, group])
        packed = pack_source(X, label, group)
        self.check_groups(packed.summary, name)
        return packed

    def check_groups(self, summary: SourceSummary, name: Any) -> None:
        """Refuse a source without any row of one group, or warn, as ``on_empty_group`` says.

        Raises:
            UsageError: a group is missing and must not be.
        """
        if self.groups is None or not self.both_groups or min(summary.group_sizes) > 0:
            return
        missing = "a second value"
        if len(self.groups) == 2:
            missing = repr(self.groups.tolist()[int(summary.group_sizes[1] == 0)])
        text = EMPTY_GROUP.format(name=name, group=missing)
        if self.on_empty_group == "error":
            raise UsageError(f"{text}; leave it out, or set on_empty_group='max' to treat it as most suspect")
        warnings.warn(f"{text}: its disparity to all others is set to the largest value", UserWarning, stacklevel=4)


def holds_group(X: NDArray[np.float64], a: NDArray[Any]) -> bool:
    """Whether a column of X tells the two groups apart already, whatever two numbers it uses.

    Args:
        X: float64 ``(n, d)``.
        a: ``(n,)`` with two values.
    """
    code = a == np.unique(a)[-1]
    low, high = X.min(axis=0), X.max(axis=0)
    same = ((high == X) == code[:, None]).all(axis=0) | ((low == X) == code[:, None]).all(axis=0)
    binary = ((low == X) | (high == X)).all(axis=0)
    return bool((same & binary & (low < high)).any())
