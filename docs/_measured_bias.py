"""Tables of docs/bias_study.md, read from benchmarks/results, so that no number is typed twice."""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
EARLIER = ROOT / "tests" / "golden" / "bias_tinted_digits_earlier.csv"
COMPARED = {
    "accuracy": "accuracy", "uncertainty": "uncertain", "tcb": "TCB", "ece": "ECE", "ba": "BA", "ba_max": "BA max",
    "ba_calibrated": "BA calib.", "flip_share": "flips",
}  # fmt: skip
NONE = "No network of this set-up is among the committed runs yet."
REAL = {"mnist": "bias_mnist_groups", "animals": "bias_animals"}
SENSITIVE = ("accuracy", "uncertainty", "tcb", "ece", "ba", "ba_max")
RECORD = ("record_cu", "record_u", "record_hits", "record_all")
NAMES = {"dense": "dense", "gmp_ri": "GMP-RI", "gmp_pt": "GMP-PT", "bits": "rounded"}


def bias_substitutions(results: Path = RESULTS, study: str = "bias_tinted_digits") -> dict[str, str]:
    """By name the Markdown tables of the page; a sentence where a CSV is not committed."""
    names = ("joint", "evidence", "asking", "planted", "single", "earlier", "sensitivity", *REAL)
    if not (results / f"{study}.csv").is_file():
        none = "No bias study is committed yet. Run `tamis study bias` on your machine."
        return {**{f"bias_{name}": none for name in names}, **dict.fromkeys(RECORD, "(not measured yet)")}
    from tamis.study import BiasNumbers, read_bias_rows
    from tamis.study._bias_tables import (
        curve_table,
        evidence_table,
        joint_table,
        planted_table,
        single_table,
        strongest,
    )
    from tamis.study._tables import markdown

    numbers = BiasNumbers(
        *(read_bias_rows(results / f"{study}{end}.csv") for end in ("", "_pairs", "_curves", "_conditions"))
    )
    tables = {
        "bias_joint": joint_table(numbers.networks),
        "bias_evidence": evidence_table(numbers.conditions),
        "bias_asking": curve_table(numbers.curves, strongest(numbers.curves)),
        "bias_planted": planted_table(numbers.networks),
        "bias_single": single_table(numbers.networks),
    }
    shown = {name: markdown(table) if table.rows else NONE for name, table in tables.items()}
    return {
        **shown,
        "bias_earlier": earlier_table(numbers.networks),
        "bias_sensitivity": sensitivity_table(results),
        **_real_tables(results),
        **_record(numbers.conditions),
    }


def _real_tables(results: Path) -> dict[str, str]:
    """The joint networks and the evidence on real images, where they are committed."""
    from tamis.study import read_bias_rows
    from tamis.study._bias_tables import evidence_table, joint_table
    from tamis.study._tables import markdown

    found = {}
    for name, study in REAL.items():
        if not (results / f"{study}.csv").is_file():
            found |= {f"bias_{name}": "No run is committed.", f"bias_{name}_evidence": ""}
            continue
        found[f"bias_{name}"] = markdown(joint_table(read_bias_rows(results / f"{study}.csv")))
        found[f"bias_{name}_evidence"] = markdown(evidence_table(read_bias_rows(results / f"{study}_conditions.csv")))
    return found


def sensitivity_table(results: Path = RESULTS, earlier: Path = EARLIER) -> str:
    """Markdown: dense and 98 % sparse networks of each variant of the recipe, and of the earlier implementation."""
    rows: dict[tuple[str, float], list[dict[str, str]]] = {}
    for row in _csv(results / "bias_sensitivity.csv"):
        rows.setdefault((row["variant"], float(row["requested"])), []).append(row)
    heads = [f"{place}{COMPARED[metric]}" for place in ("dense: ", "98 %: ") for metric in SENSITIVE]
    lines = [["variant", "seeds", *heads], ["---"] * (len(heads) + 2)]
    for variant in dict.fromkeys(variant for variant, _ in rows):
        sides = (rows[variant, 0.0], rows[variant, 0.98])
        means = [statistics.fmean(float(r[metric]) for r in side) for side in sides for metric in SENSITIVE]
        lines.append([variant, str(len(sides[0])), *(f"{mean:.3f}" for mean in means)])
    theirs = {(row["method"], float(row["requested"]), row["metric"]): float(row["mean"]) for row in _csv(earlier)}
    known = [theirs[side, level, m] for side, level in (("dense", 0.0), ("gmp_ri", 0.98)) for m in SENSITIVE]
    lines.append(["earlier implementation", "3", *(f"{mean:.3f}" for mean in known)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def _record(conditions: list[dict[str, Any]]) -> dict[str, str]:
    """Ranges over the levels of networks pruned while they trained: what the criteria were worth (audit_metrics.md)."""
    rows = [row for row in conditions if row["setup"] == "joint" and row["condition"].startswith("gmp_ri@")]

    def span(name: str, digits: int) -> str:
        found = [row[name] for row in rows]
        return f"{min(found):.{digits}f} to {max(found):.{digits}f}"

    return {
        "record_cu": span("rho_cu", 2),
        "record_u": span("rho_u", 2),
        "record_hits": span("top_risen_cu", 0),
        "record_all": span("risen", 0),
    }


def earlier_table(networks: list[dict[str, Any]], earlier: Path = EARLIER) -> str:
    """Markdown: means here and of the earlier implementation, in bold where they agree (see :func:`agrees`)."""
    theirs = {
        (row["method"], float(row["requested"]), row["metric"]): (float(row["mean"]), float(row["sd"]))
        for row in _csv(earlier)
    }
    here: dict[tuple[str, float, str], list[float]] = {}
    for row in networks:
        for metric in COMPARED if row["setup"] == "joint" else ():
            if math.isfinite(row[metric]):
                here.setdefault((row["method"], row["requested"], metric), []).append(row[metric])
    lines = [["", *COMPARED.values()], ["---"] * (len(COMPARED) + 1)]
    for method, level in dict.fromkeys((m, level) for m, level, _ in theirs):
        cells = []
        for metric in COMPARED:
            found, other = here.get((method, level, metric)), theirs.get((method, level, metric))
            if not found or other is None:
                cells.append("-")
                continue
            mean = statistics.fmean(found)
            text = f"{mean:.3f} / {other[0]:.3f}"
            cells.append(f"**{text}**" if agrees(found, other) else text)
        shown = f"{level:g} bits" if method == "bits" else f"{100 * level:g} %"
        lines.append([f"{NAMES[method]} {shown}" if level else "dense", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def agrees(here: list[float], earlier: tuple[float, float]) -> bool:
    """Whether two means lie within two standard deviations over seeds, the larger of both, or within 15 %."""
    spread = max(earlier[1], statistics.stdev(here) if len(here) > 1 else 0.0)
    gap = abs(statistics.fmean(here) - earlier[0])
    return gap <= max(2 * spread, 0.15 * abs(earlier[0]))
