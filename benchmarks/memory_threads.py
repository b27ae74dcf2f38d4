"""How fast one thread and two threads read and copy memory: what bounds the second thread of a step.

python benchmarks/memory_threads.py [--out CSV]

Tensors of 4 MB stay in a cache that the cores share (of 32 MB on the machine of the committed figures), those of 64 and
256 MB do not.  Copying is reading one tensor and writing another; both are counted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tamis.bench import describe_machine, write_csv

RESULTS = Path(__file__).resolve().parent / "results"
MEGABYTES = (4, 12, 64, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "memory_threads.csv")
    options = parser.parse_args()
    rows = []
    for megabytes in MEGABYTES:
        source = torch.ones(megabytes << 18)
        target = torch.empty_like(source)
        for what, run, streams in (
            ("read", lambda x=source: x.sum(), 1),
            ("copy", lambda x=source, y=target: torch.mul(x, 1.5, out=y), 2),
        ):
            one, two = (streams * megabytes / 1024 / seconds(run, threads) for threads in (1, 2))
            row = {"what": what, "mb": megabytes, "gb_s_1": round(one, 1), "gb_s_2": round(two, 1)}
            rows.append({**row, "times": round(two / one, 2)})
            print(*rows[-1].values(), flush=True)
    write_csv(options.out, rows, describe_machine())


def seconds(run: Callable[[], object], threads: int) -> float:
    """The median of 30 calls after two, wall time."""
    torch.set_num_threads(threads)
    run(), run()
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


if __name__ == "__main__":
    main()
