"""The table of docs/flea.md, read from the CSV that benchmarks/source_pairs.py wrote."""

from __future__ import annotations

import csv
from pathlib import Path

PAIRS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "source_pairs.csv"
RECREATED = PAIRS.with_name("source_pairs_recreated.csv")


def pairs_table(source: Path = PAIRS) -> str:
    """Markdown: one row per table and disparity; a sentence where nothing is committed."""
    if not source.is_file():
        return "No measurement is committed yet. Run `benchmarks/source_pairs.py` on your machine."
    lines = source.read_text(encoding="utf-8").splitlines()
    machine = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    text = [
        "CPU seconds for discrepancy and disparity of all pairs, merging of rows included, and how many times as long "
        "a SciPy loop and the NumPy fallback take in the same run. "
        f"{machine['processor']}, {machine['isa']}, one thread, load average {machine['load_average']} "
        "(`benchmarks/results/source_pairs.csv`). A star marks times scaled up from a sample of pairs.",
        "",
        "| table | sources | rows each | columns | disparity | native, s | SciPy loop | NumPy fallback |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cases: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    for row in rows:
        case = tuple(row[name] for name in ("table", "sources", "rows_each", "columns", "disparity"))
        cases.setdefault(case, {})[row["solver"]] = row
    for case, of in cases.items():
        native = next(r for solver, r in of.items() if solver.startswith("native"))
        fallback = of.get("NumPy fallback")
        if fallback is not None and _star(fallback):
            fallback = (
                None  # it merges the rows of all sources whatever the sample: scaled up, that would count too often
            )
        others = [_times(of.get("SciPy loop")), _times(fallback)]
        text.append(f"| {' | '.join(case)} | {float(native['cpu_s']):.3g}{_star(native)} | {' | '.join(others)} |")
    return "\n".join(text)


def recreated_table(source: Path = RECREATED) -> str:
    """Markdown: the native solver beside the re-created published code; a sentence where nothing is committed."""
    if not source.is_file():
        return "No measurement is committed yet. Run `benchmarks/source_pairs.py --recreated` on your machine."
    lines = source.read_text(encoding="utf-8").splitlines()
    machine = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    busy = ", a busy machine" if machine["busy"] == "True" else ""
    text = [
        f"CPU seconds, one thread; {machine['processor']}, load average {machine['load_average']}{busy} "
        "(`benchmarks/results/source_pairs_recreated.csv`). A star marks times scaled up from a sample of pairs.",
        "",
        "| table | sources | rows each | columns | solver | CPU, s | times native | largest difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        what = [row[name] for name in ("table", "sources", "rows_each", "columns", "solver")]
        numbers = [f"{float(row['cpu_s']):.3g}{_star(row)}", f"{float(row['times_native']):.0f}"]
        text.append(f"| {' | '.join([*what, *numbers, row['largest_difference']])} |")
    return "\n".join(text)


def _times(row: dict[str, str] | None) -> str:
    return "" if row is None else f"{float(row['times_native']):.1f} times{_star(row)}"


def _star(row: dict[str, str]) -> str:
    return "*" if row["pairs"] != row["pairs_measured"] else ""
