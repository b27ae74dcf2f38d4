"""Collect a folder of ``tamis study sources`` into the tables that docs/flea_study.md shows.

    python benchmarks/source_study.py runs/sources --published flea_published.csv.gz

Writes benchmarks/results/sources_selection.csv (one row for each choice of sources), sources_learners.csv (means over
seeds) and sources_worst.csv (means over seeds of the worst adversary).  They hold our numbers and their differences to
the published ones, never the published rows.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from tamis.bench import describe_machine, write_csv
from tamis.study import read_published
from tamis.study._source_published import EQUAL
from tamis.study._source_study import ADVERSARIES
from tamis.study._source_summary import setting, spread, worst_case

RESULTS = Path(__file__).parent / "results"
MEASURES = ("accuracy", "fairness")
Row = dict[str, Any]


def rows_of(folder: Path) -> list[Row]:
    """The rows of all finished cells, by data, seed and adversary."""
    rows = []
    for file in sorted((folder / "cells").glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        head = {key: found["cell"][key] for key in ("data", "n_sources", "n_bad", "adversary", "seed")}
        rows += [{**head, **row} for row in found["rows"]]
    order = {name: place for place, name in enumerate(ADVERSARIES)}
    return sorted(rows, key=lambda row: (row["data"], row["seed"], order[row["adversary"]]))


def published_key(row: Row) -> tuple[Any, ...]:
    method = "flea" if row["method"] == "flea_signed" else row["method"]
    return setting(row), row["adversary"], row["seed"], method, row["learner"]


def selections(rows: list[Row], published: dict[Any, Any]) -> list[Row]:
    """One row for each cell and method that chooses sources; all learners of a cell share it."""
    found: dict[Any, Row] = {}
    for row in rows:
        key = (row["data"], row["seed"], row["adversary"], row["method"])
        if row["bad_frac"] is None or key in found:
            continue
        theirs = published.get(published_key(row))
        shares = {name: row.get(name) for name in ("bad_frac_discrepancy", "bad_frac_disparity", "bad_frac_disbalance")}
        found[key] = {
            "data": row["data"],
            "adversary": row["adversary"],
            "seed": row["seed"],
            "method": row["method"],
            "kept": " ".join(map(str, sorted(row["kept"]))),
            "bad_frac": round(row["bad_frac"], 3),
            **{name: "" if value is None else round(value, 3) for name, value in shares.items()},
            "not_converged": row.get("not_converged", ""),
            "as_published": "" if theirs is None else int(abs(theirs[2] - row["bad_frac"]) <= EQUAL),
        }
    return list(found.values())


def learners(rows: list[Row], published: dict[Any, Any]) -> list[Row]:
    """Means over seeds by data, method, learner and adversary, and how many cells equal the published ones."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["data"], row["method"], row["learner"], row["adversary"]].append(row)
    found = []
    for (data, method, learner, adversary), group in groups.items():
        pairs = [(row, published[published_key(row)]) for row in group if published_key(row) in published]
        line: Row = {"data": data, "method": method, "learner": learner, "adversary": adversary, "seeds": len(group)}
        apart = [[abs(row[name] - theirs[place]) for place, name in enumerate(MEASURES)] for row, theirs in pairs]
        for place, measure in enumerate(MEASURES):
            over = spread(row[measure] for row in group)
            above = [row[measure] - theirs[place] for row, theirs in pairs]
            line[measure] = round(over.mean, 5)
            line[f"{measure}_sd"] = round(over.sd, 5)
            line[f"{measure}_above"] = round(sum(above) / len(above), 5) if above else ""
            line[f"{measure}_equal"] = sum(abs(value) <= EQUAL for value in above) if above else ""
        found.append({**line, "both_equal": sum(max(two) <= EQUAL for two in apart), "compared": len(pairs)})
    return found


def worst(rows: list[Row], published: dict[Any, Any]) -> list[Row]:
    """The cells of the published tables: over seeds, the minimum over the adversaries; and their differences."""
    theirs = []
    for row in rows:
        known = published.get(published_key(row))
        if known is not None:
            theirs.append({**row, "accuracy": known[0], "fairness": known[1]})
    found = []
    accuracy, fairness = worst_case(rows, "accuracy"), worst_case(rows, "fairness")
    above = worst_case(theirs, "accuracy"), worst_case(theirs, "fairness")
    for key, value in accuracy.items():
        what, method, learner = key
        line: Row = {"data": what[0], "method": method, "learner": learner, "seeds": value.n}
        for name, ours, published_value in (
            ("accuracy", value, above[0].get(key)),
            ("fairness", fairness[key], above[1].get(key)),
        ):
            line[name], line[f"{name}_sd"] = round(ours.mean, 5), round(ours.sd, 5)
            line[f"{name}_above"] = round(ours.mean - published_value.mean, 5) if published_value else ""
        found.append(line)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of the study")
    parser.add_argument("--published", type=Path, required=True, help="CSV of the published results, .gz too")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows, published = rows_of(options.folder), read_published(options.published)
    seeds = {data: len({row["seed"] for row in rows if row["data"] == data}) for data in {row["data"] for row in rows}}
    about = {
        "study": "tamis study sources",
        "sources": "5, of which 2 are bad; FLEA keeps 3",
        "seeds": ", ".join(f"{data} {count}" for data, count in sorted(seeds.items())),
    }
    for name, table in (("selection", selections), ("learners", learners), ("worst", worst)):
        write_csv(options.out / f"sources_{name}.csv", table(rows, published), describe_machine(), about)


if __name__ == "__main__":
    main()
