"""What is killed, and what must hold of the files it left: training, checkpoints, pages, a study, a sweep."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import scene
import torch
import victim
from kill_steps import Steps, write_checkpoints

import tamis
from tamis.cli import main as command
from tamis.report import write_report
from tamis.train import load_checkpoint, restore


@dataclass
class Tally:
    """What a campaign has counted.

    ``killed`` works ended by SIGKILL; ``too_late`` ones that had ended before their moment came; ``restarts`` after a
    kill, ``resumed`` of them from a checkpoint or from cells that were done.
    """

    campaign: str
    seed: int
    cycles: int = 0
    killed: int = 0
    too_late: int = 0
    restarts: int = 0
    resumed: int = 0
    failures: int = 0
    seconds: float = 0.0


class Campaigns:
    """All campaigns in one folder; the works that are never killed are done first.

    Args:
        home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        scene.lay_out(home)
        self.whole: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        self.count = 0
        self._load_everything()
        for method in scene.METHODS:
            self.seconds[method], _ = self._finish(self._train(method, home / f"whole_{method}"))
            self.whole[method] = scene.run_state(home / f"whole_{method}")
            self._finish(lambda folder=home / f"whole_{method}": write_report(folder) is None)
        self.pages = {method: (home / f"whole_{method}" / "report.html").read_bytes() for method in scene.METHODS}

    def _load_everything(self) -> None:
        """One run and one page in this process, so that forked ones find every module loaded."""
        folder = self.home / "warm"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            command(["train", str(self.home / "gmp.toml"), "--out", str(folder)])
            write_report(folder)
        shutil.rmtree(folder)

    def _finish(self, work: Callable[[], int]) -> tuple[float, float]:
        """Let a work run to its end; its seconds of CPU time and of wall time."""
        began, log = time.monotonic(), self.home / "log.txt"
        pid, cpu, code = victim.start(work, log), 0.0, None
        while code is None:
            with contextlib.suppress(OSError):
                cpu = victim.cpu_seconds(pid)
            time.sleep(0.001)
            code = victim.ended(pid)
        if code != 0:
            raise RuntimeError(f"exit code {code} of a work that nobody killed:\n{log.read_text()[-2000:]}")
        return cpu, time.monotonic() - began

    def _train(self, method: str, folder: Path) -> Callable[[], int]:
        def work() -> int:
            torch.set_num_threads(1)
            resume = (folder / "checkpoints" / "last.safetensors").is_file()
            how = "--resume" if resume else "--overwrite"
            return command(["train", str(self.home / f"{method}.toml"), "--out", str(folder), how])

        return work

    def train(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """`tamis train` of one of four methods, killed one to three times."""
        method = draw.choice(list(scene.METHODS))
        self._train_and_kill(method, folder, tally, draw, [0] * draw.randint(1, 3))

    def steps(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """`tamis train`, killed before, in or behind the n-th step at which a file changes."""
        self.count += 1
        self._train_and_kill("acdc" if self.count % 2 else "gmp", folder, tally, draw, [(self.count + 1) // 2])

    def _train_and_kill(self, method: str, folder: Path, tally: Tally, draw: random.Random, moments: list[int]) -> None:
        for step in moments:
            work, log = self._train(method, folder), folder.with_suffix(".log")
            if step:
                how = draw.choice(("before", "half", "after"))
                suicide = victim.Suicide(step, how)
                code: int | None = victim.wait(victim.start(partial(_armed, suicide, work), log))
                code = None if code == 0 else code
            else:
                code = victim.kill_after(victim.start(work, log), victim.moment(draw, self.seconds[method]))
            _note(tally, code, log)
            if not folder.exists():
                continue
            scene.check_files(folder)
            tally.resumed += (folder / "checkpoints" / "last.safetensors").is_file()
            if (folder / "summary.json").exists():  # it counts as finished, so it must be the same already
                scene.check_same(scene.run_state(folder), self.whole[method])
        self._finish(self._train(method, folder))
        scene.check_files(folder)
        scene.check_same(scene.run_state(folder), self.whole[method])
        assert not list(folder.rglob(".*.part")), "leftovers of killed writers"

    def checkpoint(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """A loop that writes a checkpoint after every step: the last one is whole, and goes on to the same weights."""
        folder.mkdir(parents=True)
        file = folder / "c.safetensors"
        method = draw.choice((tamis.ACDC, tamis.GMP))
        code = victim.kill_after(
            victim.start(lambda: write_checkpoints(method, file), folder / "log.txt"), draw.uniform(0.02, 0.4)
        )
        _note(tally, code, folder / "log.txt")
        if not file.exists():
            return
        tally.resumed += 1
        scene.check_files(folder)
        stored = load_checkpoint(file)
        reached = int(stored.header["progress"]["step"])
        whole, cut = Steps(method), Steps(method)
        for _ in range(reached):
            whole.step()
        restore(stored, cut.model, cut.optimizer, cut.sparsifier)
        cut.done = reached
        for _ in range(3):
            assert whole.bytes() == cut.bytes(), f"the checkpoint of step {reached} is not the state of that step"
            whole.step()
            cut.step()

    def report(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """A loop that writes the pages of two runs to one place: what is there is one of them."""
        folder.mkdir(parents=True)
        run = folder / "whole_acdc"  # the page shows the name
        shutil.copytree(self.home / run.name, run)
        target = run / "report.html"
        target.unlink()
        seen = draw.random() < 0.5

        def work() -> int:
            from tamis.report import _page
            from tamis.storage import write_atomic

            pages = [self.pages["acdc"].decode(), self.pages["gmp"].decode()]
            while True:
                if seen:  # the whole command
                    write_report(run)
                else:  # its last part alone, of which many fit into the time
                    _page.write_atomic(target, pages[0])
                    write_atomic(target, pages[1])

        code = victim.kill_after(victim.start(work, folder / "log.txt"), draw.uniform(0.02, 2.0 if seen else 0.2))
        _note(tally, code, folder / "log.txt")
        if target.exists():
            tally.resumed += 1
            assert target.read_bytes() in (self.pages["acdc"], self.pages["gmp"]), "half a page"
        scene.check_files(folder)
        self._finish(lambda: write_report(run) is None)
        assert target.read_bytes() == self.pages["acdc"]
        assert not list(folder.rglob(".*.part")), "leftovers of killed writers"

    def study(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """`tamis study methods` with its processes; the first, or one that trains, is killed."""
        arguments = ["study", "methods", str(self.home / "study.toml"), "--out", str(folder), "--workers", "2"]
        self._command_and_kill("study", arguments, folder, draw, tally, scene.study_rows)

    def sweep(self, folder: Path, draw: random.Random, tally: Tally) -> None:
        """`tamis transfer sweep`, linear probes and fine-tuning; the first process, or one that works, is killed."""
        arguments = ["transfer", "sweep", str(self.home / "sweep.toml"), "--out", str(folder)]
        arguments += ["--root", str(self.home), "--models", str(self.home)]
        self._command_and_kill("sweep", arguments, folder, draw, tally, scene.sweep_rows)

    def _command_and_kill(
        self,
        name: str,
        arguments: list[str],
        folder: Path,
        draw: random.Random,
        tally: Tally,
        rows: Callable[[Path], dict[Any, tuple[Any, ...]]],
    ) -> None:
        log = folder.with_suffix(".log")
        if name not in self.whole:
            whole = self.home / f"whole_{name}"
            _, self.seconds[name] = self._finish(
                lambda: command([str(whole) if part == str(folder) else part for part in arguments])
            )
            self.whole[name] = rows(whole)
            assert len(self.whole[name]) >= 4
        for _ in range(draw.randint(1, 2)):
            pid = victim.start(lambda: command(arguments), log)
            at, whom = victim.moment(draw, self.seconds[name]), draw.random()
            helpers: list[int] = []
            if whom < 0.3:  # one of those that it started
                time.sleep(at)
                helpers = victim.descendants(pid)
                if helpers:
                    try:
                        os.kill(draw.choice(helpers), signal.SIGKILL)
                    except ProcessLookupError:
                        helpers = []
                code = victim.wait(pid)
                assert code in (0, 1), f"exit code {code}:\n{log.read_text()[-1500:]}"
                tally.killed += bool(helpers)
                tally.too_late += not helpers
            else:
                time.sleep(at)
                helpers = victim.descendants(pid)
                code_of_first = victim.kill_after(pid, 0.0)
                _note(tally, code_of_first, log)
                victim.wait_for_end_of(helpers)
            if folder.exists():
                scene.check_files(folder)
                found = rows(folder)
                assert scene.same_rows(found, self.whole[name]), "a row that is not that of the whole study"
                tally.resumed += bool(found)
        tally.restarts += 1
        self._finish(lambda: command(arguments))
        scene.check_files(folder)
        assert scene.same_rows(rows(folder), self.whole[name]), "a row differs from the whole study's"
        assert rows(folder).keys() == self.whole[name].keys(), "rows are missing"


def _armed(suicide: victim.Suicide, work: Callable[[], int]) -> int:
    suicide.arm()
    return work()


def _note(tally: Tally, code: int | None, log: Path) -> None:
    """Count the end of a work; anything but SIGKILL and success is a failure of tamis."""
    if code not in (None, -signal.SIGKILL):
        raise AssertionError(f"exit code {code}:\n{log.read_text()[-1500:]}")
    tally.killed += code is not None
    tally.too_late += code is None
    tally.restarts += code is not None
