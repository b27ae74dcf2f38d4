"""Memory: the allocator that keeps it, and the peak of a training step."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tamis.bench import _allocator, step_memory
from tamis.errors import TamisError

GLIBC = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
FAULTS = """
import resource, sys
from tamis.bench._allocator import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory() == "keep"
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    torch.ones(1 << 23)
rounds = []
for _ in range(3):  # the system may take pages back at any time, so the best round counts
    before = faults()
    for _ in range(10):
        torch.ones(1 << 23)
    rounds.append(faults() - before)
print(min(rounds))
"""


@pytest.mark.skipif(not GLIBC, reason="mallopt is glibc's")
def test_kept_memory_meets_no_page_faults():
    found = {}
    for mode in ("keep", "default"):
        done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
        found[mode] = int(done.stdout)
    assert found["keep"] < 100
    assert found["keep"] < found["default"]


def test_without_glibc_the_reason_is_given(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", ""))
    assert _allocator.keep_memory().startswith("default (this C library has no mallopt")
    _allocator.return_memory()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_peak_of_a_step_lies_above_what_the_process_held_before():
    memory = step_memory("resnet20", 32, 64, 10, 0.9, 1)
    assert memory.peak > memory.before > 50e6


def test_a_probe_that_fails_says_why():
    with pytest.raises(TamisError, match=r"the process that measures memory failed: .*resnet200"):
        step_memory("resnet200", 8, 2, 10, None, 1)
