"""A transfer sweep into benchmarks/results, with the machine in the lines above.

python benchmarks/transfer_study.py transfer_digits [--out DIR] [--root DIR] [--models DIR] [--kinds linear]

What the folder of the sweep (runs/NAME, or --out) holds already is not run again.  --table-only takes what is there and
runs nothing; --about TEXT goes into the lines above the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

from tamis.bench import describe_machine, write_csv
from tamis.study import load_sweep, run_sweep
from tamis.transfer import read_results

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--models", type=Path, default=Path())
    parser.add_argument("--kinds", default="")
    parser.add_argument("--about", default="")
    parser.add_argument("--table-only", action="store_true")
    given = parser.parse_args()
    sweep = load_sweep(given.sweep)
    folder = given.out or Path("runs") / sweep.name
    if not given.table_only:
        kinds = tuple(given.kinds.split(",")) if given.kinds else sweep.kinds
        found = run_sweep(dataclasses.replace(sweep, kinds=kinds), folder, root=given.root, models=given.models)
        for name, reason in found.missing.items():
            print(f"missing {name}: {reason}")
    write_table(folder / "results.csv", RESULTS / f"{sweep.name}.csv", sweep.name, given.about)


def write_table(source: Path, target: Path, name: str, about: str) -> None:
    rows = [
        {key: "" if isinstance(value, float) and math.isnan(value) else value for key, value in vars(row).items()}
        for row in read_results(source)
    ]
    write_csv(target, rows, describe_machine(), {"sweep": name, **({"about": about} if about else {})})
    print(f"{len(rows)} rows in {target}")


if __name__ == "__main__":
    main()
