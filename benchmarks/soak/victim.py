"""Processes to be killed: forked from one that has torch loaded already, so that a kill costs what the work costs.

A forked process is a process like any other: it has its own memory and files, and SIGKILL ends it between two
instructions.  What it lacks is the start of the interpreter, two seconds in which nothing is written.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

PATIENCE = 300.0  # seconds


def start(work: Callable[[], int], log: Path) -> int:
    """Run ``work`` in a new process, its output in ``log``; returns the process's number."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(target, 1)
        os.dup2(target, 2)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def kill_after(pid: int, seconds: float, number: int = signal.SIGKILL) -> int | None:
    """Let a process run for so many seconds of CPU time, which a busy machine does not stretch, then send it a signal.

    Returns its exit code, negative for a signal, or None if it ended before.
    """
    while (code := ended(pid)) is None and cpu_seconds(pid) < seconds:
        time.sleep(0.0005)
    if code is None:
        os.kill(pid, number)
        code = wait(pid)
    return None if code == 0 else code  # it may have ended between the look and the signal


def cpu_seconds(pid: int) -> float:
    """CPU time that the first thread of a living process has had."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def ended(pid: int) -> int | None:
    """The exit code of a process that has ended, else None."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait(pid: int, seconds: float = PATIENCE) -> int:
    """Wait for the end of a process and return its exit code; TimeoutError, and the process is killed, if it hangs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        code = ended(pid)
        if code is not None:
            return code
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"process {pid} did not end within {seconds:.0f} s")


def descendants(pid: int) -> list[int]:
    """All processes that a process has started and that live, and theirs."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return found


def wait_for_end_of(pids: list[int], seconds: float = 30.0) -> None:
    """Wait until processes that are not our children are gone; RuntimeError if they live on."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not [pid for pid in pids if lives(pid)]:
            return
        time.sleep(0.01)
    raise RuntimeError(f"processes {[pid for pid in pids if lives(pid)]} outlive the process that started them")


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Suicide:
    """Ends its own process by SIGKILL at the n-th step at which a file changes: exact moments that chance hits rarely.

    Steps are calls of fsync, replace, unlink and the making of a temporary file.  ``how`` says when: ``before`` the
    step, ``after`` it, or ``half``: the file that is about to be synced loses its second half first, as if the system
    had not written it (of a log, which is appended to, only the last row is cut).

    With ``at=0`` nothing happens but counting.
    """

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how, self.seen = at, how, 0

    def arm(self) -> None:
        """Watch the calls of this process."""
        for module, name in ((os, "fsync"), (os, "replace"), (os, "rename"), (os, "unlink"), (os, "rmdir")):
            setattr(module, name, self._watched(getattr(module, name), name))
        import tempfile

        tempfile.mkstemp = self._watched(tempfile.mkstemp, "mkstemp")  # type: ignore[assignment]

    def _watched(self, call: Callable[..., object], name: str) -> Callable[..., object]:
        def watched(*arguments: object, **more: object) -> object:
            self.seen += 1
            if self.seen == self.at and self.how != "after":
                if self.how == "half" and name == "fsync":
                    _cut(arguments[0])
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **more)
            if self.seen == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return watched


def _cut(handle: object) -> None:
    assert isinstance(handle, int)
    file, size = Path(f"/proc/self/fd/{handle}").readlink(), os.fstat(handle).st_size
    if not file.is_dir():
        os.ftruncate(handle, size // 2 if file.suffix == ".part" else max(size - 5, 0))


def moment(draw: random.Random, seconds: float) -> float:
    """A moment in a work of so many seconds; a quarter of the draws fall into its end, where results are written."""
    return seconds * (draw.uniform(0.8, 1.05) if draw.random() < 0.25 else draw.random())
