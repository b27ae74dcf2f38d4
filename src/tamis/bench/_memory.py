"""Peak resident memory of training steps, each model in a process of its own."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tamis.errors import TamisError

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process in bytes: before its steps (Python, torch, model, optimizer) and at most in them."""

    before: int
    peak: int


def step_memory(model: str, pixels: int, batch: int, classes: int, sparsity: float | None, threads: int) -> Memory:
    """Memory of two training steps after a warm-up step, in a fresh process with the system's default allocator.

    ``sparsity`` None measures the dense model in NCHW.

    Raises:
        TamisError: the process failed; the message ends with its last line.
    """
    arguments = json.dumps([model, pixels, batch, classes, sparsity, threads])
    code = "import sys; from tamis.bench._memory import probe; probe(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TamisError(f"the process that measures memory failed: {last}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def probe(arguments: str) -> None:
    """What the fresh process does: print the :class:`Memory` of the step that the JSON ``arguments`` describe."""
    print(json.dumps(asdict(_probe(*json.loads(arguments)))))


def _probe(model: str, pixels: int, batch: int, classes: int, sparsity: float | None, threads: int) -> Memory:
    import torch

    from tamis.bench._allocator import return_memory
    from tamis.bench._networks import StepCase, build_model, packed_model, random_batch, random_masks
    from tamis.bench._trained import Step

    torch.set_num_threads(threads)
    case = StepCase(model, pixels, batch, classes)
    network = build_model(case)
    if sparsity is not None:
        network = packed_model(network, random_masks(network, sparsity))
    step = Step(network, network, *random_batch(case))
    step.run()  # takes the chooser's measurements and makes the optimizer's state
    step.forget()
    gc.collect()
    return_memory()
    before = _resident("VmRSS")
    _CLEAR.write_text(_RESET_PEAK)
    for _ in range(2):
        step.run()
    return Memory(before, _resident("VmHWM"))


def _resident(label: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{label}:"))
    return 1024 * int(line.split()[1])
