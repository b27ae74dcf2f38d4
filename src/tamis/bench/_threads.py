"""The same number of threads for everyone."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_OPENMP = re.compile(r"/lib[gi]?omp[^/]*\.so[^/]*$")


def spread_threads(threads: int) -> list[str]:
    """Give every OpenMP library in this process ``threads`` threads; returns the libraries' file names.

    ``torch.set_num_threads`` reaches torch's own library only; peers that bring another one would run on all
    processors.  Without ``/proc`` nothing happens.
    """
    if not _MAPS.is_file():
        return []
    mapped = {line.split(maxsplit=5)[-1] for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()}
    found = sorted(path for path in mapped if _OPENMP.search(path))
    for path in found:
        ctypes.CDLL(path).omp_set_num_threads(threads)
    return [Path(path).name for path in found]
