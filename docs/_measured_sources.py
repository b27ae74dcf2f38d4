"""Tables of docs/flea_study.md, read from the CSVs that benchmarks/source_study.py wrote."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
NONE = (
    "No study of sources is committed yet. Run `tamis study sources` and `benchmarks/source_study.py` on your machine."
)
METHODS = {
    "original": "original", "oracle": "oracle", "naive": "naive", "konstantinov2020": "Konstantinov 2020",
    "robust_ensemble": "robust ensemble", "hterm": "hTERM", "dro": "DRO", "flea": "FLEA, published disparity",
    "flea_signed": "FLEA, signed disparity",
}  # fmt: skip
FLEA = ("flea", "flea_signed")
LEARNERS = ("none", "regularised", "preprocessing", "postprocessing", "adversarial")
MINUS = "\u2212"


def flea_tables(results: Path = RESULTS) -> dict[str, str]:
    """All tables by the name under which the page quotes them."""
    return {
        "flea_kept": kept_table(results),
        "flea_worst": worst_table(results),
        "flea_agreement": agreement_table(results),
        "flea_baselines": baseline_table(results),
        "flea_matches": matches_table(results),
        "flea_dro": dro_table(results),
        "flea_states": states_table(results),
    }


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV with comment lines; none where it is missing."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def kept_table(results: Path = RESULTS) -> str:
    """Share of bad sources among the kept ones by adversary, and how many choices equal the published ones."""
    rows = [row for row in rows_of(results / "sources_selection.csv") if row["method"] in FLEA]
    if not rows:
        return NONE
    columns = list(dict.fromkeys((row["data"], row["method"]) for row in rows))
    columns.sort(key=lambda pair: (pair[0], FLEA.index(pair[1])))
    shares: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    same: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        shares[row["adversary"], row["data"], row["method"]].append(float(row["bad_frac"]))
        if row["as_published"]:
            same[row["data"], row["method"]].append(int(row["as_published"]))
    short = {"flea": "published", "flea_signed": "signed"}
    text = _head(["adversary", *(f"{data}, {short[method]}" for data, method in columns)])
    adversaries = list(dict.fromkeys(row["adversary"] for row in rows))
    for adversary in adversaries:
        cells = [shares.get((adversary, *column), []) for column in columns]
        text.append(_line([f"`{adversary}`", *(f"{_mean(cell):.3f}" if cell else "" for cell in cells)]))
    attacks = [name for name in adversaries if name != "none"]
    means = [
        [_mean(shares[name, data, method]) for name in attacks if (name, data, method) in shares]
        for data, method in columns
    ]
    text.append(_line(["mean of attacks", *(f"{_mean(values):.3f}" for values in means)]))
    text.append(_line(["choices as published", *(f"{sum(same[c])} of {len(same[c])}" for c in columns)]))
    return "\n".join(text)


def worst_table(results: Path = RESULTS) -> str:
    """The regularised learner under the worst adversary: accuracy / fairness and their differences to the published."""
    rows = [row for row in rows_of(results / "sources_worst.csv") if row["learner"] == "regularised"]
    if not rows:
        return NONE
    data = sorted({row["data"] for row in rows})
    cells = {(row["method"], row["data"]): row for row in rows}
    text = _head(["method", *data])
    for method, title in METHODS.items():
        if any((method, name) in cells for name in data):
            text.append(_line([title, *(_worst_cell(cells.get((method, name))) for name in data)]))
    return "\n".join(text)


def agreement_table(results: Path = RESULTS) -> str:
    """FLEA with the published disparity, by data and learner: differences to the published numbers."""
    return _agreement(results, ("flea",))


def baseline_table(results: Path = RESULTS) -> str:
    """The same for the baselines."""
    return _agreement(results, tuple(name for name in METHODS if name not in FLEA))


def matches_table(results: Path = RESULTS) -> str:
    """By method and learner: in how many cells of each table accuracy and fairness both equal the published ones."""
    rows = [row for row in rows_of(results / "sources_learners.csv") if row["compared"] != "0"]
    rows = [row for row in rows if row["method"] != "flea_signed"]
    if not rows:
        return NONE
    equal: dict[tuple[str, str, str], int] = defaultdict(int)
    cells: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in rows:
        key = (row["method"], row["learner"], row["data"])
        equal[key] += int(row["both_equal"])
        cells[key] += int(row["compared"])
    data = sorted({row["data"] for row in rows})
    text = _head(["method", "learner", *data])
    for method, title in METHODS.items():
        for learner in LEARNERS:
            found = [(equal[method, learner, name], cells.get((method, learner, name), 0)) for name in data]
            if any(of for _, of in found):
                text.append(_line([title, learner, *(f"{some} of {of}" if of else "" for some, of in found)]))
    return "\n".join(text)


def dro_table(results: Path = RESULTS) -> str:
    """DRO: agreement with the published cells where a change in the 14th digit changes nothing, and where it does."""
    rows = rows_of(results / "sources_dro.csv")
    if not rows:
        return NONE
    data = sorted({row["data"] for row in rows})
    text = _head(["cells", *data])
    for stable, title in (("1", "equal, of those that rounding does not decide"), ("0", "equal, of all others")):
        counts = []
        for name in data:
            some = [row for row in rows if row["data"] == name and row["stable"] == stable]
            counts.append(f"{sum(int(row['as_published']) for row in some)} of {len(some)}")
        text.append(_line([title, *counts]))
    return "\n".join(text)


def states_table(results: Path = RESULTS) -> str:
    """Share of bad states among the kept of 51, with the true number of clean ones and with ``auto``."""
    rows = rows_of(results / "sources_states.csv")
    if not rows:
        return NONE
    bad = sorted({row["n_bad"] for row in rows}, key=int)
    cells = {(row["adversary"], row["n_bad"], row["rule"]): row for row in rows}
    text = _head(["adversary", *(f"{n} bad, {rule}" for n in bad for rule in ("known (published)", "auto"))])
    for adversary in dict.fromkeys(row["adversary"] for row in rows):
        line = [f"`{adversary}`"]
        for n in bad:
            known, auto = cells[adversary, n, "known"], cells[adversary, n, "auto"]
            share = float(known["bad_frac"])
            theirs = f" ({share - float(known['above_published']):.3f})" if known["above_published"] else ""
            line += [f"{share:.3f}{theirs}", f"{float(auto['bad_frac']):.3f}, keeps {auto['kept']}"]
        text.append(_line(line))
    return "\n".join(text)


def _agreement(results: Path, methods: tuple[str, ...]) -> str:
    rows = [
        row for row in rows_of(results / "sources_learners.csv") if row["method"] in methods and row["compared"] != "0"
    ]
    if not rows:
        return NONE
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row["method"], row["data"], row["learner"]].append(row)
    heading = [
        "method",
        "data",
        "learner",
        "cells",
        "accuracy",
        "equal",
        "largest",
        "fairness",
        "equal",
        "largest",
        "within .005",
    ]
    text = _head(heading)
    order = list(METHODS)
    for (method, data, learner), group in sorted(
        groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])
    ):
        count = sum(int(row["compared"]) for row in group)
        cells = [METHODS[method], data, learner, str(count)]
        for measure in ("accuracy", "fairness"):
            above = [float(row[f"{measure}_above"]) for row in group]
            mean = sum(value * int(row["compared"]) for value, row in zip(above, group, strict=True)) / count
            equal = sum(int(row[f"{measure}_equal"]) for row in group)
            cells += [_signed(mean), str(equal), f"{100 * max(map(abs, above)):.2f}"]
        near = sum(max(abs(float(row["accuracy_above"])), abs(float(row["fairness_above"]))) <= 0.005 for row in group)
        text.append(_line([*cells, f"{near} of {len(group)}"]))
    return "\n".join(text)


def _worst_cell(row: dict[str, str] | None) -> str:
    if row is None:
        return ""
    parts = []
    for measure in ("accuracy", "fairness"):
        above = f" ({_signed(float(row[f'{measure}_above']))})" if row[f"{measure}_above"] else ""
        parts.append(f"{100 * float(row[measure]):.1f}{above}")
    return " / ".join(parts)


def _head(names: list[str]) -> list[str]:
    return [_line(names), "|" + "---|" * len(names)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _signed(value: float) -> str:
    return f"{round(100 * value, 2) + 0.0:+.2f}".replace("-", MINUS)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
