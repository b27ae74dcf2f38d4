"""What a run ran on: versions, instruction set, threads, load; never host names, user names or paths."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import tamis
from tamis.kernels import available_isas, isa, native_available, processor_name

_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


def describe_environment() -> dict[str, Any]:
    """Plain JSON types: package versions, processor, instruction sets, threads, allocator, huge pages, load average.

    ``cpus`` counts the processors this process may use.  ``load_average`` holds the system's 1, 5 and 15 minute
    values (None where the system has none); measured times are doubtful when the first exceeds the free processors.
    """
    return {
        "versions": {
            "tamis": tamis.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in ("torch", "numpy", "safetensors")},
        },
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor_name(),
        "cpus": usable_cpus(),
        "threads": torch.get_num_threads(),
        "native": native_available(),
        "isa": isa(),
        "available_isas": list(available_isas()),
        "allocator": _allocator(),
        "huge_pages": _huge_pages(),
        "load_average": _load_average(),
    }


def usable_cpus() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _allocator() -> str:
    """The memory allocator in use, told from the libraries mapped into this process."""
    mapped = _system_file("/proc/self/maps")
    return next((name for name in _ALLOCATORS if f"lib{name}" in mapped), "system default")


def _huge_pages() -> str | None:
    """The kernel's choice for transparent huge pages: always, madvise or never; None where there are none."""
    text = _system_file("/sys/kernel/mm/transparent_hugepage/enabled")
    return text.partition("[")[2].partition("]")[0] or None


def _load_average() -> list[float] | None:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):
        return None


def _system_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
