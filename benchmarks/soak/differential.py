"""Random differential testing of every native operation against float64, on each instruction set of this machine.

A case is one random problem (kind, shape, memory order, numbers) from one seed; its float64 answers are computed
once, then the operation runs on each instruction set, with each panel layout, on one and on several threads.  Results
must lie within the rounding that their sums allow; where the numbers are small integers, they must be equal.  The
number of threads may change no bit, the layout none of a product.  At the end every native operation must have run on
every instruction set, and no memory of the pool may be in use.

Run ``python benchmarks/soak/differential.py --minutes 60 --write``: progress on stderr and in
benchmarks/results/soak_differential.log, a table in benchmarks/results/soak_differential.csv (with ``--write``).  A
mismatch prints the command that repeats its case.  Exit code 1 where there was one.
"""

from __future__ import annotations

import argparse
import csv
import gc
import io
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from problems import KINDS, Draw, Problem, mistakes
from torch.utils._python_dispatch import TorchDispatchMode

from tamis.bench import describe_machine
from tamis.kernels import _native, available_isas, choices, isa, memory_state, set_isa
from tamis.storage import write_atomic

RESULTS = Path(__file__).resolve().parents[1] / "results"
COLUMNS = ("kind", "isa", "cases", "calls", "values", "worst_error_in_bounds", "mismatches")
# Kinds that pack panels, and so can be forced to a layout.
WITH_PANELS = {"conv2d", "conv1d", "linear", "nested", "live", "inference", "update", "block"}
NO_KERNELS = {"isa", "isas", "set_isa", "pool_state", "pool_release"}
EVERY = 30.0  # seconds between two lines of progress


class NativeCalls(TorchDispatchMode):
    """Counts the native operations that run inside the block."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "tamis":
            self.counts[func._opname] += 1
        return func(*args, **(kwargs or {}))


@dataclass
class Tally:
    """What became of one kind of problem on one instruction set."""

    cases: int = 0
    calls: int = 0
    values: int = 0
    worst: float = 0.0
    mismatches: int = 0


@dataclass
class Tallies:
    """Everything counted so far."""

    of: dict[tuple[str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    operations: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def total(self, what: str) -> Any:
        """A count over all kinds and instruction sets."""
        return sum(getattr(tally, what) for tally in self.of.values())

    def worst(self) -> float:
        """The largest error in parts of its bound."""
        return max((tally.worst for tally in self.of.values()), default=0.0)


def draw_problem(seed: int, kind: str | None = None) -> tuple[str, Problem, int]:
    """The kind, the problem and the number of threads beside one that belong to a seed."""
    draw = Draw(seed)
    drawn = draw.random.choices(list(KINDS), [often for often, _ in KINDS.values()])[0]
    kind = kind or drawn
    threads = draw.whole(2, 3)
    return kind, KINDS[kind][1](draw), threads


def examine(kind: str, problem: Problem, name: str, threads: int, tallies: Tallies) -> Iterator[str]:
    """Runs a problem on the instruction set ``name`` in every way; yields what is wrong."""
    tally = tallies.of[kind, name]
    tally.cases += 1
    set_isa(name)
    ways = [("automatic", 1), ("automatic", threads)]
    if kind in WITH_PANELS:
        ways += [("columns", 1), ("images", 1)]
    first: dict[str, torch.Tensor] = {}
    for layout, count in ways:
        _native._layout = _native.LAYOUTS[layout]
        torch.set_num_threads(count)
        where = f"{name}, layout {layout}, {count} threads"
        try:
            with NativeCalls(tallies.operations[name]) if not first else nullcontext():
                results = problem.compute()
        except Exception as error:
            yield f"{where}: {type(error).__name__}: {error}"
            continue
        if isa() != name:
            yield f"{where}: ran on {isa()}"
        tally.calls += 1
        for what, ratio, wrong in mistakes(problem, results):
            tally.worst = max(tally.worst, ratio)
            if wrong:
                yield f"{where}: {wrong} ({ratio:.3g} times the bound)"
            elif what in results:
                tally.values += results[what].numel()
        if not first:
            first = results
            continue
        for what, answer in problem.answers.items():
            must = answer.fixed if layout == "automatic" else answer.ordered
            if must and what in results and not torch.equal(first[what], results[what]):
                yield f"{where}: {what} differs in its bits from the first run"


def table(tallies: Tallies) -> list[list[object]]:
    rows = []
    for (kind, name), t in sorted(tallies.of.items()):
        rows.append([kind, name, t.cases, t.calls, t.values, f"{t.worst:.3g}", t.mismatches])
    return rows


def operations_that_never_ran(tallies: Tallies, isas: tuple[str, ...]) -> list[str]:
    registered = {
        name.removeprefix("tamis::").split(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("tamis::")
    }
    return [
        f"{op} on {name}" for name in isas for op in sorted(registered - NO_KERNELS - set(tallies.operations[name]))
    ]


def write_results(tallies: Tallies, facts: dict[str, object]) -> None:
    text = io.StringIO()
    text.writelines(f"# {key}: {value}\n" for key, value in {**describe_machine(), **facts}.items())
    for name, counts in sorted(tallies.operations.items()):
        text.write(f"# operations on {name}: {', '.join(f'{op} {n}' for op, n in sorted(counts.items()))}\n")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *table(tallies)])
    write_atomic(RESULTS / "soak_differential.csv", text.getvalue())


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="stop after so long")
    parser.add_argument("--cases", type=int, help="stop after so many cases")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first case; the next one has the next")
    parser.add_argument("--isa", nargs="+", help="instruction sets; all that this machine has without it")
    parser.add_argument("--kind", choices=sorted(KINDS), help="only problems of this kind")
    parser.add_argument("--write", action="store_true", help="write log and table to benchmarks/results")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run cases until the time or their number is over; the exit code."""
    options = arguments(given)
    choices.mode = "sparse"
    isas = tuple(options.isa or available_isas())
    log: list[TextIO] = [sys.stderr]
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        log.append((RESULTS / "soak_differential.log").open("w"))

    def say(line: str) -> None:
        for stream in log:
            print(line, file=stream, flush=True)

    tallies, begin, cpu, seed = Tallies(), time.monotonic(), time.process_time(), options.seed
    said = begin
    say(f"{' '.join(sys.argv)}: seeds from {seed}, instruction sets {', '.join(isas)}, torch {torch.__version__}")
    while (options.cases is None and time.monotonic() - begin < 60 * options.minutes) or (
        options.cases is not None and seed < options.seed + options.cases
    ):
        torch.set_num_threads(1)
        kind, problem, threads = draw_problem(seed, options.kind)
        for name in isas:
            for wrong in examine(kind, problem, name, threads, tallies):
                tallies.of[kind, name].mismatches += 1
                only = f" --kind {kind}" if options.kind else ""
                say(f"MISMATCH seed {seed}: {wrong}\n  {problem.text}")
                say(f"  repeat: python benchmarks/soak/differential.py --cases 1 --seed {seed} --isa {name}{only}")
        del problem
        seed += 1
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            say(
                f"{time.strftime('%H:%M:%S')} {(said - begin) / 60:6.1f} min  next seed {seed}  "
                f"calls {tallies.total('calls')}  values {tallies.total('values')}  "
                f"worst error {tallies.worst():.3f} of its bound  mismatches {tallies.total('mismatches')}"
            )
    gc.collect()
    problems = [f"{memory_state().in_use} bytes of the pool are still in use"] if memory_state().in_use else []
    never = operations_that_never_ran(tallies, isas) if options.cases is None and options.kind is None else []
    problems += [f"{what} never ran" for what in never]
    for row in table(tallies):
        say(" ".join(f"{value!s:>12}" for value in row))
    for what in problems:
        say(f"FAILED: {what}")
    mismatches = tallies.total("mismatches")
    minutes = (time.monotonic() - begin) / 60
    say(f"{seed - options.seed} cases in {minutes:.1f} minutes, {tallies.total('calls')} calls, "
        f"{tallies.total('values')} values compared, {mismatches} mismatches")  # fmt: skip
    if options.write:
        facts = {
            "seeds": f"{options.seed} to {seed - 1}", "minutes": f"{minutes:.1f}",
            "cpu_minutes": f"{(time.process_time() - cpu) / 60:.1f}", "mismatches": mismatches, "failures": problems,
        }  # fmt: skip
        write_results(tallies, facts)
    return int(bool(mismatches or problems))


if __name__ == "__main__":
    raise SystemExit(main())
