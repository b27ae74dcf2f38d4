"""``tamis bench layers|step``: the sparse kernels beside dense torch on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.cli._arguments import parse, show
from tamis.errors import UsageError


@dataclass(frozen=True)
class BenchCommand:
    """Measure sparse layers or training steps against dense torch in both memory formats, in one process."""

    sparsity: tuple[float, ...] = (0.9, 0.95)
    """Fractions of zeros to measure."""
    only: str = ""
    """Measure only the cases whose name contains this text (names are in the first column)."""
    threads: int = 1
    """Threads of torch's pool."""
    repeats: int = 5
    """Timed repetitions of each contestant; medians are reported."""
    csv: str = ""
    """Also write the table, with the machine's description, to this CSV file."""
    json: bool = False
    """Print one JSON object instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0; ``arguments`` begin with ``layers`` or ``step``."""
    what = arguments[0] if arguments else ""
    if what in ("-h", "--help"):
        print("usage: tamis bench layers|step [OPTIONS]\n\ntamis bench layers --help explains the options.")
        return 0
    if what not in ("layers", "step"):
        raise UsageError(f"tamis bench: expected 'layers' or 'step', got {what or 'nothing'!r}")
    options = parse(BenchCommand, arguments[1:], f"tamis bench {what}")
    _check(options)
    import torch

    torch.set_num_threads(options.threads)
    from tamis import bench

    cases: Sequence[Any] = bench.LAYER_SUITE if what == "layers" else bench.STEP_SUITE
    measure: Callable[..., Any] = bench.measure_layer if what == "layers" else bench.measure_step
    chosen = [case for case in cases if options.only in case.name]
    if not chosen:
        raise UsageError(f"no case contains {options.only!r}; there are: {', '.join(case.name for case in cases)}")
    machine = bench.describe_machine()
    if machine["busy"]:
        print(f"the machine is busy (load {machine['load_average'][0]}): times are too long", file=sys.stderr)
    results = []
    for result in _measured(chosen, options, measure):
        results.append(result)
        if options.csv:  # after every case, so that a stopped benchmark keeps what it has
            bench.write_csv(options.csv, [r.row() for r in results], machine)
    rows = [result.row() for result in results]
    means = {
        str(s): round(bench.geometric_mean(r.speedup for r in results if r.sparsity == s), 3) for s in options.sparsity
    }
    text = [bench.render_table(rows), ""]
    text += [f"sparsity {s}: {mean} x the faster dense format, geometric mean" for s, mean in means.items()]
    text.append(
        f"{machine['processor']}, {machine['isa']}, {options.threads} thread(s), load {machine['load_average']}"
    )
    show({"machine": machine, "results": rows, "geometric_mean_speedup": means}, "\n".join(text), options.json)
    return 0


def _measured(cases: Sequence[Any], options: BenchCommand, measure: Callable[..., Any]) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(cases, file=sys.stderr, unit="case", disable=None) as progress:
        for case in progress:
            progress.set_description(case.name)
            yield from measure(case, options.sparsity, repeats=options.repeats)


def _check(options: BenchCommand) -> None:
    for sparsity in options.sparsity:
        if not 0 <= sparsity < 1:
            raise UsageError(f"--sparsity {sparsity} is no fraction of zeros: expected 0 <= sparsity < 1")
    for name in ("threads", "repeats"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} {getattr(options, name)}: expected at least 1")
