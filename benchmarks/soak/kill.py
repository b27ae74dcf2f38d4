"""Kill -9 at random moments, hundreds of times: nothing is lost, and nothing half-written is taken for a result.

python benchmarks/soak/kill.py [--cycles train=150,steps=100,checkpoint=150,report=60,study=15,sweep=15] [--seed 0]

Each cycle starts a small work, ends it by SIGKILL at a moment that is drawn, checks every file that it left, starts the
same command again (which may be killed again), lets it run to its end, and compares with a work that was never killed,
bit for bit.  Rows are written to benchmarks/results/soak_kill.csv after every campaign; exit code 1 if a check failed.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

# before torch: equal runs need equal kernels, and forked processes must not inherit threads
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TAMIS_CHOICE": "sparse", "TAMIS_CACHE": ""}
sys.path.insert(0, str(Path(__file__).parent))

import scene
import torch
from kill_campaigns import Campaigns, Tally

from tamis.bench import describe_machine, write_csv
from tamis.documents import csv_records, read_text

RESULTS = Path(__file__).resolve().parents[1] / "results" / "soak_kill.csv"
DEFAULT = "train=150,steps=100,checkpoint=150,report=60,study=15,sweep=15"
Cycle = Callable[[Path, random.Random, Tally], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", default=DEFAULT, help="cycles of each campaign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--add", action="store_true", help="keep the rows that the file has already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = {name: int(count) for name, _, count in (part.partition("=") for part in options.cycles.split(","))}
    home = Path(tempfile.mkdtemp(prefix="tamis-soak-"))
    tallies: list[Tally] = _earlier(options.csv) if options.add else []
    try:
        campaigns = Campaigns(home)
        for name, count in wanted.items():
            cycle: Cycle = getattr(campaigns, name)
            tallies.append(_campaign(Tally(name, options.seed), cycle, count, home))
            about = {
                "what": "works killed by SIGKILL; see benchmarks/soak/README.md",
                "date": datetime.date.today().isoformat(),
                "kills": sum(tally.killed for tally in tallies),
                "failures": sum(tally.failures for tally in tallies),
            }
            write_csv(options.csv, [_row(tally) for tally in tallies], describe_machine(), about)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"{sum(t.killed for t in tallies)} kills, {sum(t.failures for t in tallies)} failures: {options.csv}")
    return 1 if any(tally.failures for tally in tallies) else 0


def _earlier(file: Path) -> list[Tally]:
    """The rows of an earlier soak."""
    found = []
    for row in csv_records(read_text(file, "the rows of a soak"), str(file)):
        numbers = {name: int(value) for name, value in row.items() if name not in ("campaign", "seconds")}
        found.append(Tally(row["campaign"], seconds=float(row["seconds"]), **numbers))
    return found


def _campaign(tally: Tally, cycle: Cycle, count: int, home: Path) -> Tally:
    name, began = tally.campaign, time.monotonic()
    for number in range(count):
        scene.attempt(cycle, tally, number, home, tally.seed)
        tally.seconds = time.monotonic() - began
        if number % 10 == 9 or number + 1 == count:
            print(
                f"{datetime.datetime.now():%H:%M:%S} {name} {number + 1}/{count}: {tally.killed} killed, "
                f"{tally.resumed} found results, {tally.failures} failures, {tally.seconds:.0f} s",
                flush=True,
            )
    return tally


def _row(tally: Tally) -> dict[str, Any]:
    return {**asdict(tally), "seconds": round(tally.seconds)}


if __name__ == "__main__":
    sys.exit(main())
