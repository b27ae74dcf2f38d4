"""Real faults of a machine, met by real commands: a full disk, a read-only folder, Ctrl-C.

python benchmarks/soak/faults.py [--cycles disk=10,readonly=4,interrupt=20] [--seed 0]

Disks are small tmpfs mounts and read-only bind mounts (root is needed; without it these campaigns are named and left
out), Ctrl-C is SIGINT at a moment that is drawn. Each command must end with the documented exit
code and one line of tamis as its last on stderr, leave no half-written file, and go on to the result of a run that met
nothing. Rows go to benchmarks/results/soak_faults.csv; exit code 1 if a check failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TAMIS_CHOICE": "sparse", "TAMIS_CACHE": ""}
sys.path.insert(0, str(Path(__file__).parent))

import scene
import torch
import victim

from tamis.bench import describe_machine, write_csv
from tamis.cli import main as command

RESULTS = Path(__file__).resolve().parents[1] / "results" / "soak_faults.csv"
DEFAULT = "disk=10,readonly=4,interrupt=20"


@dataclass
class Tally:
    """What a campaign has counted: works that ``met`` the fault, and ``untouched`` ones, which ended before it came."""

    campaign: str
    cycles: int = 0
    met: int = 0
    untouched: int = 0
    failures: int = 0


class Faults:
    """All campaigns in one folder; a run that meets nothing is trained first."""

    def __init__(self, home: Path) -> None:
        self.home = home
        scene.lay_out(home)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            command(["train", str(home / "gmp.toml"), "--out", str(home / "warm")])
        self.seconds = self._finish(home / "whole")
        self.whole = scene.run_state(home / "whole")

    def _train(self, folder: Path) -> int:
        resume = (folder / "checkpoints" / "last.safetensors").is_file()
        return command(
            ["train", str(self.home / "gmp.toml"), "--out", str(folder), "--resume" if resume else "--overwrite"]
        )

    def _finish(self, folder: Path) -> float:
        """Let a run end undisturbed; its seconds of CPU time."""
        log, cpu, code = self.home / "log.txt", 0.0, None
        pid = victim.start(partial(self._train, folder), log)
        while code is None:
            cpu = victim.cpu_seconds(pid)
            time.sleep(0.001)
            code = victim.ended(pid)
        assert code == 0, f"exit code {code}:\n{log.read_text()[-1500:]}"
        return cpu

    def _ends(self, pid: int, log: Path, tally: Tally, code_of_fault: int, words: str) -> None:
        """The command has met the fault and said so, or has ended before it came."""
        code, text = victim.wait(pid), log.read_text()
        if code == 0:
            tally.untouched += 1
            return
        tally.met += 1
        last = text.rstrip().splitlines()[-1]
        assert code == code_of_fault, f"exit code {code}, not {code_of_fault}:\n{text[-1500:]}"
        assert last.startswith("tamis train: "), text[-1500:]
        assert words in last, last
        assert "Traceback" not in text, text[-3000:]

    def _goes_on(self, folder: Path) -> None:
        scene.check_files(folder)
        assert not list(folder.rglob(".*.part")), "half-written files"
        self._finish(folder)
        scene.check_same(scene.run_state(folder), self.whole)

    def disk(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """A file system of some kilobytes: too small for the run at a place that is drawn."""
        log = folder.with_suffix(".log")
        with mounted(folder, "-t", "tmpfs", "-o", f"size={draw.randrange(8, 120, 4)}k", "tmpfs"):
            run = folder / "run"
            self._ends(victim.start(partial(self._train, run), log), log, tally, 2, "No space left on device")
            if run.exists():
                scene.check_files(run)
            subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)  # the user frees the disk
            self._goes_on(run)

    def readonly(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """A folder that turns read-only at a moment that is drawn, or was from the beginning."""
        log = folder.with_suffix(".log")
        with mounted(folder, "-t", "tmpfs", "-o", "size=20m", "tmpfs"):
            run = folder / "run"
            if draw.random() < 0.5:  # an earlier, interrupted run
                victim.kill_after(victim.start(partial(self._train, run), log), 0.6 * self.seconds)
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            self._ends(victim.start(partial(self._train, run), log), log, tally, 2, "Read-only file system")
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
            self._goes_on(run)

    def interrupt(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """Ctrl-C once at a moment that is drawn; every third time twice, which does not wait for the step."""
        log, pid = folder.with_suffix(".log"), -1
        pid = victim.start(partial(self._with_ctrl_c, folder), log)
        at = max(victim.moment(draw, self.seconds), 0.02)  # behind the first instructions, which are not of tamis
        while victim.lives(pid) and victim.cpu_seconds(pid) < at:
            time.sleep(0.0005)
        for _ in range(2 if draw.random() < 0.3 else 1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
            time.sleep(0.01)
        self._ends(pid, log, tally, 130, "stopped")
        if folder.exists():
            self._goes_on(folder)

    def _with_ctrl_c(self, folder: Path) -> int:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return self._train(folder)


@contextlib.contextmanager
def mounted(folder: Path, *how: str) -> Iterator[None]:
    """A file system at ``folder`` meanwhile."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", *how, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount(home: Path) -> bool:
    """Whether this user may mount file systems."""
    try:
        with mounted(home / "probe", "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", default=DEFAULT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    home = Path(tempfile.mkdtemp(prefix="tamis-faults-"))
    tallies: list[Tally] = []
    try:
        faults, mounts = Faults(home), can_mount(home)
        for name, _, count in (part.partition("=") for part in options.cycles.split(",")):
            if name in ("disk", "readonly") and not mounts:
                print(f"{name}: left out, this user may not mount file systems", flush=True)
                continue
            tally, cycle = Tally(name), getattr(faults, name)
            tallies.append(tally)
            for number in range(int(count)):
                scene.attempt(cycle, tally, number, home, options.seed)
            print(f"{datetime.datetime.now():%H:%M:%S} {asdict(tally)}", flush=True)
            about = {
                "what": "faults of the machine; see benchmarks/soak/README.md",
                "seed": options.seed,
                "date": datetime.date.today().isoformat(),
                "failures": sum(tally.failures for tally in tallies),
            }
            write_csv(options.csv, [asdict(tally) for tally in tallies], describe_machine(), about)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 1 if any(tally.failures for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
