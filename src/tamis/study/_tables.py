"""The tables of a study as text: accuracy, differences, costs, cells without a result; and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tamis.report import Table
from tamis.study._statistics import Difference, Estimate
from tamis.study._summary import Group, Summary

DASH, MINUS, SPACE, BEST = "\u2013", "\u2212", "\u00a0", "★"


def accuracy_table(summary: Summary) -> Table:
    """Methods as rows, sparsities as columns: mean held-out accuracy in percent ± 95 % interval, best mean starred."""
    best = {sparsity: summary.best(sparsity) for sparsity in summary.sparsities}

    def text(group: Group) -> str:
        mark = f"{SPACE}{BEST}" if best[group.sparsity] == group.method else ""
        return f"{interval(group.accuracy, summary.seeds, 100, 2)}{mark}"

    rows = _by_sparsity(summary, text)
    if summary.dense is not None:
        first = interval(summary.dense.accuracy, summary.seeds, 100, 2)
        rows = (("dense", first, *("" for _ in summary.sparsities[1:])), *rows)
    return _percent_columns(summary, rows)


def difference_table(summary: Summary) -> Table:
    """Accuracy minus that of the reference in percentage points, over common seeds, with the p-value of a paired t."""

    def text(group: Group) -> str:
        return DASH if group.method == summary.reference else paired(group.difference)

    return _percent_columns(summary, _by_sparsity(summary, text))


def dense_table(summary: Summary) -> Table:
    """Accuracy minus that of the dense baseline in percentage points, over common seeds."""
    return _percent_columns(summary, _by_sparsity(summary, lambda group: paired(group.below_dense)))


def cost_table(summary: Summary) -> Table:
    """What each method and sparsity cost."""
    headings = (
        "Method", "Sparsity", "Training CPU, s", "Training FLOPs, masks", "Training FLOPs, non-zero",
        "Step dense, ms", "Step packed, ms",
    )  # fmt: skip
    groups = [summary.dense] if summary.dense is not None else []
    groups += [summary.groups[m, s] for s in summary.sparsities for m in summary.methods if (m, s) in summary.groups]
    rows = tuple(
        (
            group.method,
            f"{100 * group.sparsity:g}{SPACE}%",
            interval(group.train_cpu_s, summary.seeds, 1, 1),
            interval(group.train_flops, summary.seeds, 100, 1, mean_only=True),
            interval(group.train_flops_nonzero, summary.seeds, 100, 1, mean_only=True),
            interval(group.step_dense_cpu_ms, summary.seeds, 1, 1),
            interval(group.step_packed_cpu_ms, summary.seeds, 1, 1),
        )
        for group in groups
    )
    return Table(headings, (False, *(True for _ in headings[1:])), rows)


def missing_notes(summary: Summary) -> tuple[str, ...]:
    """One sentence for each cell that failed, and one for those that were not trained yet."""
    notes = [f"{name} failed: {error}" for name, error in summary.failed.items()]
    if summary.still_open:
        notes.append(f"Not trained yet: {', '.join(summary.still_open)}")
    return tuple(notes)


def interval(found: Estimate, seeds: int, unit: float, digits: int, *, mean_only: bool = False) -> str:
    """Mean ± half the interval, times ``unit``; the number of seeds is told where it is not that of the study.

    >>> interval(Estimate(3, 0.9876, 0.0012), 3, 100, 2), interval(Estimate(1, 0.9, float("nan")), 3, 100, 1)
    ('98.76\\xa0±\\xa00.12', '90.0 (n\\xa0=\\xa01: no interval)')
    """
    if not found.n:
        return DASH
    text = f"{unit * found.mean:.{digits}f}"
    if mean_only:
        return f"{text}{SPACE}%"
    if found.n == 1:
        return f"{text} (n{SPACE}={SPACE}1: no interval)"
    text += f"{SPACE}±{SPACE}{unit * found.half:.{digits}f}"
    return text if found.n == seeds else f"{text} (n{SPACE}={SPACE}{found.n})"


def paired(difference: Difference) -> str:
    """Percentage points with sign and interval, and the p-value."""
    found = difference.estimate
    if not found.n:
        return DASH
    text = f"{round(100 * found.mean, 2) + 0.0:+.2f}".replace("-", MINUS)  # + 0.0: a negative zero is none
    if found.n == 1:
        return f"{text} (n{SPACE}={SPACE}1: no interval)"
    chance = f"p{SPACE}={SPACE}{difference.p_value:.2g}" if math.isfinite(difference.p_value) else "no spread"
    return f"{text}{SPACE}±{SPACE}{100 * found.half:.2f}, {chance}"


def markdown(table: Table) -> str:
    """The table as Markdown.

    >>> print(markdown(Table(("a", "b"), (False, True), (("x|y", "1"),))))
    | a | b |
    |---|--:|
    | x\\|y | 1 |
    """

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace(SPACE, " ") for cell in cells) + " |"

    rule = "|" + "|".join("--:" if number else "---" for number in table.numeric) + "|"
    return "\n".join([line(table.headings), rule, *(line(row) for row in table.rows)])


def _by_sparsity(summary: Summary, text: Callable[[Group], str]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (m, *(text(summary.groups[m, s]) if (m, s) in summary.groups else DASH for s in summary.sparsities))
        for m in summary.methods
    )


def _percent_columns(summary: Summary, rows: tuple[tuple[str, ...], ...]) -> Table:
    headings = ("Method", *(f"{100 * sparsity:g}{SPACE}%" for sparsity in summary.sparsities))
    return Table(headings, (False, *(True for _ in summary.sparsities)), rows)
