"""The name of the processor: measured decisions hold for one model of processor."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """Model name as the system states it, the architecture where it states none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
