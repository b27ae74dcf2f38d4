"""Which branches of csrc/driver.cpp the native tests take; exit code 1 where one is never taken.

Builds the native tests with gcov's counters in the torch-free core, runs driver_test on every instruction set of this
machine and asks gcov for the branches of the driver, exceptions left out.  Needs g++ and gcov; about two minutes of one
core.

Run ``python benchmarks/soak/driver_coverage.py``.  Writes benchmarks/results/soak_driver_coverage.txt.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "coverage"
SOURCE = "csrc/driver.cpp"
ISAS = ("avx512", "avx2", "baseline", "wide")
NOT_HERE = 77  # what a test program returns on a processor that lacks the instruction set


def build() -> Path:
    """The test program, with no counts of earlier runs."""
    options = ["-DTAMIS_EXTENSION=OFF", "-DTAMIS_NATIVE_TESTS=ON", "-DTAMIS_COVERAGE=ON"]
    cmake = os.environ.get("CMAKE", "cmake")
    subprocess.run([cmake, "-S", ROOT, "-B", BUILD, *options], check=True, stdout=sys.stderr)
    subprocess.run([cmake, "--build", BUILD, "--target", "driver_test"], check=True, stdout=sys.stderr)
    for counts in BUILD.rglob("*.gcda"):
        counts.unlink()
    return BUILD / "csrc" / "tests" / "driver_test"


def branches(counts: Path) -> dict[tuple[int, int], int]:
    """How often each branch (line, number) was taken, over all template instances."""
    out = subprocess.run(
        ["gcov", "--json-format", "--stdout", "--branch-probabilities", counts],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    taken: dict[tuple[int, int], int] = {}
    for file in json.loads(out)["files"]:
        if not file["file"].endswith(SOURCE):
            continue
        for line in file["lines"]:
            number = line["line_number"]
            for k, branch in enumerate(b for b in line["branches"] if not b["throw"]):
                taken[number, k] = taken.get((number, k), 0) + branch["count"]
    return taken


def main() -> int:
    """Run everything and write the report."""
    program, ran = build(), []
    for name in ISAS:
        done = subprocess.run([program, name], check=False, stdout=sys.stderr)
        if done.returncode not in (0, NOT_HERE):
            raise SystemExit(f"driver_test {name} failed")
        ran += [name] if done.returncode == 0 else []
    (counts,) = BUILD.rglob("driver.cpp.gcda")
    taken = branches(counts)
    text = (ROOT / SOURCE).read_text().splitlines()
    never = sorted({at for (at, _), count in taken.items() if not count})
    report = [
        "# Branches of csrc/driver.cpp that driver_test takes (benchmarks/soak/driver_coverage.py)",
        f"# run on {', '.join(ran)}",
        f"branches taken: {sum(n > 0 for n in taken.values())} of {len(taken)}",
    ]
    for name, line in (("share()", "SharedTilings share("), ("gradients()", "void gradients(")):
        at = next(k for k, content in enumerate(text, 1) if content.startswith(line))
        end = next(k for k in range(at, len(text) + 1) if text[k - 1] == "}")
        inside = [n for (number, _), n in taken.items() if at <= number <= end]
        report.append(f"of these in {name}, lines {at} to {end}: {sum(n > 0 for n in inside)} of {len(inside)}")
    for at in never:
        counts_here = [n for (line, _), n in sorted(taken.items()) if line == at]
        report.append(f"never: line {at}, branches taken {counts_here}: {text[at - 1].strip()}")
    print("\n".join(report))
    (ROOT / "benchmarks" / "results" / "soak_driver_coverage.txt").write_text("\n".join(report) + "\n")
    return int(bool(never))


if __name__ == "__main__":
    raise SystemExit(main())
