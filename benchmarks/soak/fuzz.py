"""Damaged and hostile files for every reader: each is read, or refused with one TamisError that names it.

python benchmarks/soak/fuzz.py [--minutes 20] [--seed 0] [--readers checkpoint,outputs]

Files are mutated from whole ones: bytes, numbers, lines, lengths, JSON headers, arrays inside archives
(tests/malformed/mutate.py). A process of its own reads them in turn, with a limit of memory above what it begins with;
if it dies or hangs, the file that killed it is the finding. Rows go to benchmarks/results/soak_fuzz.csv; exit code 1 if
something was found, and the files lie in --keep.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TAMIS_CACHE": ""}
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
import victim
from tests.malformed.mutate import mutated
from tests.malformed.readers import READERS, Reader, outcome

from tamis.bench import describe_machine, write_csv

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "soak_fuzz.csv"
MEMORY = 512 << 20  # bytes that reading one small file may take
PATIENCE = 30.0  # seconds that reading one small file may take


@dataclass
class Tally:
    """What one reader did with its files; ``kinds`` counts refusals by their wording without numbers and names."""

    reader: str
    files: int = 0
    read: int = 0
    refused: int = 0
    findings: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)


def one(reader: Reader, path: Path, tally: Tally) -> None:
    """Read one file; raises whatever the reader should not have raised."""
    began = time.monotonic()
    words = outcome(reader, path)
    tally.slowest_ms = max(tally.slowest_ms, 1e3 * (time.monotonic() - began))
    tally.files += 1
    tally.refused += bool(words)
    tally.read += not words
    if words:
        assert "MemoryError" not in words, words
        assert "can't allocate" not in words, words
        tally.kinds["".join(c for c in words.replace(str(path), "") if c.isalpha() or c == " ")[:40]] += 1


def fuzz(name: str, seconds: float, seed: str, keep: Path, folder: Path) -> Tally:
    """Feed one reader for so many seconds."""
    reader, tally, draw = READERS[name], Tally(name), random.Random(seed)
    wholes, began = reader.whole(), time.monotonic()
    for whole in wholes:
        path = folder / f"whole{reader.suffix}"
        path.write_bytes(whole)
        words = outcome(reader, path)
        assert not words, f"{name} refuses a whole file: {words}"
    limit = _in_use() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, _too_slow)
    while time.monotonic() - began < seconds:
        content = mutated(draw.choice(wholes), draw)
        path = folder / f"fuzzed{reader.suffix}"
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                one(reader, path, tally)
        except BaseException:
            tally.findings += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            saved = keep / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}{reader.suffix}"
            if tally.findings <= 20:
                saved.write_bytes(content)
                print(f"{name} FOUND {saved}\n{traceback.format_exc(limit=-6)}", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    tally.seconds = time.monotonic() - began
    return tally


def _too_slow(number: int, frame: Any) -> None:
    raise TimeoutError(f"a file took longer than {PATIENCE} s")


def _in_use() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="for all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "tamis-fuzz")
    parser.add_argument("--csv", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.keep.mkdir(parents=True, exist_ok=True)
    names = options.readers.split(",")
    rows: list[dict[str, Any]] = []
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="tamis-fuzz-", dir=options.keep))
        note = folder / "tally.txt"

        def work(name: str = name, folder: Path = folder, note: Path = note) -> int:
            tally = fuzz(name, 60 * options.minutes / len(names), f"{options.seed} {name}", options.keep, folder)
            found = {**asdict(tally), "kinds": len(tally.kinds)}
            note.write_text(json.dumps(found))
            return 0

        log = options.keep / f"{name}.log"
        code = victim.wait(victim.start(work, log), 60 * options.minutes + 120)
        print(log.read_text(), end="")
        if code == 0:
            row = json.loads(note.read_text())
        else:  # it died: the file that it was reading is still there
            print(f"{name}: the reading process ended with {code}; its last file is in {folder}", flush=True)
            row = {"reader": name, "findings": 1}
        rows.append({k: round(v, 1) if isinstance(v, float) else v for k, v in row.items()})
        print(f"{datetime.datetime.now():%H:%M:%S} {rows[-1]}", flush=True)
        if code == 0:
            shutil.rmtree(folder, ignore_errors=True)
        about = {
            "what": "readers of files from outside, fed with damaged files; see benchmarks/soak/README.md",
            "seed": options.seed,
            "date": datetime.date.today().isoformat(),
            "files": sum(row.get("files", 0) for row in rows),
            "findings": sum(row["findings"] for row in rows),
        }
        write_csv(options.csv, rows, describe_machine(), about)
    return 1 if any(row["findings"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
