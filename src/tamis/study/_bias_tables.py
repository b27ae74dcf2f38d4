"""The tables of a bias study as text, made of the rows of its CSV files."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tamis.documents import csv_records, read_finished
from tamis.errors import FileError
from tamis.report import Table
from tamis.study._tables import DASH, SPACE

Row = Mapping[str, Any]
TEXT = ("setup", "subject", "method", "condition", "attribute", "identity", "kind", "reference", "reason")
NAMES = {"dense": "dense", "gmp_ri": "GMP-RI", "gmp_pt": "GMP-PT", "bits": "rounded"}
JOINT = {
    "accuracy": "accuracy", "uncertainty": "uncertain", "tcb": "TCB", "ece": "ECE", "interdependence": "interdep.",
    "ba": "BA", "ba_max": "BA max", "ba_calibrated": "BA calib.", "flip_share": "flips",
    "seed_flips": "seeds differ",
}  # fmt: skip
PLANTED = {
    "accuracy": "accuracy", "ba": "BA", "accuracy_agree": "feature agrees", "accuracy_conflict": "feature conflicts",
    "accuracy_conflict_calibrated": "conflicts, calib.",
}  # fmt: skip
SINGLE = {"accuracy": "accuracy", "uncertainty": "uncertain", "ba": "BA"}


def read_bias_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a CSV of a bias study: text columns as text, all others as numbers, blanks as NaN.

    Raises:
        FileError: the file is missing, cut short, or its columns are not those of a bias study.
    """
    rows = csv_records(read_finished(path, "a CSV of a bias study"), str(path), ("setup", "subject"))
    try:
        found = [{name: text if name in TEXT else float(text or "nan") for name, text in row.items()} for row in rows]
    except FileError:
        raise
    except ValueError as error:
        raise FileError(f"{path}: no CSV of a bias study ({error}); expected numbers") from error
    if not found:
        raise FileError(f"{path}: has no rows; expected a CSV of a bias study")
    return found


def level_text(row: Row) -> str:
    """What was asked of a network.

    >>> level_text({"method": "gmp_ri", "requested": 0.95}), level_text({"method": "bits", "requested": 4.0})
    ('95\\xa0%', '4\\xa0bits')
    """
    if row["method"] == "dense":
        return "0"
    return f"{row['requested']:g}{SPACE}bits" if row["method"] == "bits" else f"{100 * row['requested']:g}{SPACE}%"


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some columns, in the order of first appearance."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± standard deviation over seeds (divisor n - 1); one value has none; nothing that is not a number counts.

    >>> spread([0.1, 0.2, 0.3]), spread([0.5]), spread([])
    ('0.200\\xa0±\\xa00.100', '0.500', '–')
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return DASH
    text = f"{statistics.fmean(finite):.{digits}f}"
    return text if len(finite) == 1 else f"{text}{SPACE}±{SPACE}{statistics.stdev(finite):.{digits}f}"


def joint_table(networks: Sequence[Row]) -> Table:
    """Joint networks by method and level: means over attributes or pairs ± standard deviation over seeds."""
    return _table([row for row in networks if row["setup"] == "joint"], JOINT, subjects=False)


def planted_table(networks: Sequence[Row]) -> Table:
    """Networks with a planted feature."""
    return _table([row for row in networks if row["setup"] == "planted"], PLANTED)


def single_table(networks: Sequence[Row]) -> Table:
    """Networks of one output, and of an identity and an attribute together."""
    return _table([row for row in networks if row["setup"] in ("single", "combined")], SINGLE)


def _table(rows: Sequence[Row], columns: Mapping[str, str], *, subjects: bool = True) -> Table:
    first = ("Set-up",) if subjects else ()
    headings = (*first, "Method", "Level", "Seeds", *columns.values())
    lines = []
    for (setup, subject, method, _), group in grouped(rows, "setup", "subject", "method", "requested").items():
        name = (f"{subject}" if setup == "planted" else f"{setup} {subject}",) if subjects else ()
        cells = (spread([row.get(column, math.nan) for row in group]) for column in columns)
        lines.append((*name, NAMES.get(method, method), level_text(group[0]), str(len(group)), *cells))
    return Table(
        headings, (*(False for _ in first), False, False, *(True for _ in range(len(columns) + 1))), tuple(lines)
    )


def evidence_table(conditions: Sequence[Row]) -> Table:
    """Joint conditions: pairs whose bias surely rose, exemplars, and how well the dense networks foretold both."""
    headings = (
        "Condition", "Pairs", "risen (rows)", "risen (clusters)", "CIE", "dense right on CIE", "dense unsure on CIE",
        "AUROC of a flip", "rho c·u", "rho c", "rho u", "p of c·u", "first by c·u risen", "first by u risen",
    )  # fmt: skip
    names = ("cie_share", "cie_dense_accuracy_on", "cie_dense_uncertain", "sample_auroc", "rho_cu", "rho_c", "rho_u",
             "p_cu")  # fmt: skip
    lines = [
        (
            str(row["condition"]),
            *(f"{row[name]:.0f}" for name in ("pairs", "pairs_risen_rows", "pairs_risen_clusters")),
            *(spread([row.get(name, math.nan)]) for name in names),
            *(_of_top(row, name) for name in ("top_risen_cu", "top_risen_u")),
        )
        for row in conditions
        if row["setup"] == "joint"
    ]
    return Table(headings, (False, *(True for _ in headings[1:])), tuple(lines))


def _of_top(row: Row, name: str) -> str:
    """Hits among the pairs that a criterion ranks highest; a dash where a CSV of an older version has none."""
    hits, top = row.get(name, math.nan), row.get("top", math.nan)
    return f"{hits:.0f} of {top:.0f}" if math.isfinite(hits) and math.isfinite(top) else "-"


def curve_table(curves: Sequence[Row], condition: str) -> Table:
    """Share asked, accuracy and BA over the half-width for one joint condition: override by the dense twin, cascade."""
    mine = [row for row in curves if row["setup"] == "joint" and row["condition"] == condition]
    headings = ("Half-width", "Override asks", "accuracy", "BA", "Cascade asks", "accuracy", "BA")
    lines = []
    for (width,), rows in grouped(mine, "half_width").items():
        cells = []
        for kind in ("override", "cascade"):
            found = [row for row in rows if row["kind"] == kind and row["reference"] == "dense"]
            cells += [spread([row[name] for row in found]) for name in ("fraction", "accuracy", "ba")]
        lines.append((f"{width:g}", *cells))
    return Table(headings, (True,) * len(headings), tuple(lines))


def strongest(curves: Sequence[Row]) -> str:
    """The joint condition of GMP-RI with the highest sparsity; empty if there is none."""
    names = {row["condition"] for row in curves if row["setup"] == "joint" and row["condition"].startswith("gmp_ri@")}
    return max(names, key=lambda name: float(name.partition("=")[2]), default="")
