"""The tables of the study of sources as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.report import Table
from tamis.study._source_published import Agreement
from tamis.study._source_summary import Spread, kept_bad, present, settings, spread, worst_case
from tamis.study._tables import DASH, MINUS, SPACE

Row = Mapping[str, Any]
TITLES = {
    "original": "original", "oracle": "oracle", "naive": "naive", "konstantinov2020": "Konstantinov 2020",
    "flea": "FLEA, published disparity", "flea_signed": "FLEA, signed disparity", "robust_ensemble": "robust ensemble",
    "hterm": "hTERM", "dro": "DRO",
}  # fmt: skip


def title_of(setting: tuple[str, int, int]) -> str:
    """Data, sources and bad sources as words.

    >>> title_of(("compas", 5, 2))
    'compas, 2 of 5 sources bad'
    """
    return f"{setting[0]}, {setting[2]} of {setting[1]} sources bad"


def worst_table(rows: Sequence[Row], setting: tuple[str, int, int]) -> Table:
    """Methods as rows, learners as columns: accuracy / fairness under the worst adversary, in percent, over seeds."""
    accuracy, fairness = worst_case(rows, "accuracy"), worst_case(rows, "fairness")
    learners = present(rows, "learner")
    body = []
    for method in present(rows, "method"):
        cells = [
            f"{_percent(accuracy[key])} / {_percent(fairness[key])}" if (key := (setting, method, learner)) in accuracy
            else DASH
            for learner in learners
        ]  # fmt: skip
        body.append((TITLES[method], *cells))
    return Table(("Method", *learners), (False, *(True for _ in learners)), tuple(body))


def kept_bad_table(rows: Sequence[Row]) -> Table:
    """Adversaries as rows, settings and methods as columns: share of bad sources among the kept, mean over seeds.

    The last row is the mean over adversaries but "none", which manipulates nothing.
    """
    found = kept_bad(rows)
    columns = [
        (what, method)
        for what in settings(rows)
        for method in present(rows, "method")
        if any((what, adversary, method) in found for adversary in present(rows, "adversary"))
    ]
    body = [
        (adversary, *(_share(found.get((what, adversary, method))) for what, method in columns))
        for adversary in present(rows, "adversary")
    ]
    attacks = [name for name in present(rows, "adversary") if name != "none"]
    means = [
        spread(found[what, name, method].mean for name in attacks if (what, name, method) in found)
        for what, method in columns
    ]
    body.append(("mean of attacks", *(_share(value) for value in means)))
    headings = ("Adversary", *(f"{what[0]}: {TITLES[method]}" for what, method in columns))
    return Table(headings, (False, *(True for _ in columns)), tuple(body))


def agreement_table(found: Sequence[Agreement]) -> Table:
    """One row for each setting, method and learner: ours, the difference to the published, how many cells agree."""
    headings = (
        "Data", "Method", "Learner", "Cells", "Accuracy", "Difference", "Cells equal", "Fairness", "Difference",
        "Cells equal", "Adversaries within .005", "Same kept-bad share",
    )  # fmt: skip
    body = tuple(
        (
            item.setting[0],
            TITLES[item.method],
            item.learner,
            str(item.cells),
            f"{100 * item.accuracy:.2f}",
            _signed(item.accuracy_above),
            str(item.equal_accuracy),
            f"{100 * item.fairness:.2f}",
            _signed(item.fairness_above),
            str(item.equal_fairness),
            f"{item.close} of {item.adversaries}",
            f"{item.equal_kept} of {item.selections}" if item.selections else DASH,
        )
        for item in found
    )
    return Table(headings, (False, False, False, *(True for _ in headings[3:])), body)


def _percent(value: Spread) -> str:
    if not value.n or math.isnan(value.mean):
        return DASH
    return f"{100 * value.mean:.1f}{SPACE}±{SPACE}{100 * value.sd:.1f}" if value.n > 1 else f"{100 * value.mean:.1f}"


def _share(value: Spread | None) -> str:
    return DASH if value is None or not value.n else f"{value.mean:.3f}"


def _signed(value: float) -> str:
    return f"{round(100 * value, 2) + 0.0:+.2f}".replace("-", MINUS)
