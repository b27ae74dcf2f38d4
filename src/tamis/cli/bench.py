"""``tamis bench layers|step|infer``: the sparse kernels beside dense torch and other peers on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tamis.cli._arguments import parse, with_json_target
from tamis.errors import UsageError

_STDOUT = "-"
_WAITING = 1.15  # wall over CPU time that only other work on the same processor explains


@dataclass(frozen=True)
class BenchCommand:
    """Options of all three measurements."""

    sparsity: tuple[float, ...] = (0.9, 0.95)
    """Fractions of zeros to measure."""
    peers: str = "dense"
    """Implementations to measure beside ours, with commas: dense (always), compile, csr, scipy, sparselab, sparseprop,
    onnxruntime."""
    only: str = ""
    """Measure only the cases whose name contains this text (names are in the first column)."""
    batch: tuple[int, ...] = ()
    """Batches instead of those of the suite; layers with batch 1 measure inference."""
    threads: tuple[int, ...] = (1,)
    """Threads of torch's pool; several numbers are measured one after the other and compared."""
    repeats: int = 5
    """Timed turns of each contestant; medians are reported."""
    allocator: Literal["keep", "default"] = "keep"
    """keep: malloc keeps freed memory, so that large outputs of dense torch meet no page faults (glibc only).
    default: as programs start."""
    csv: str = ""
    """Also write all columns, with the machine's description, to this CSV file, anew after each case."""
    json: str = ""
    """Write one JSON object to this file; without a file, print it instead of text."""


@dataclass(frozen=True)
class LayersCommand(BenchCommand):
    """Measure single layers, forward and backward with both gradients, against dense torch and peers."""


@dataclass(frozen=True)
class InferCommand(BenchCommand):
    """Measure inference of networks against dense torch (also with batch norm folded) and peers."""

    model: str = ""
    """A network instead of the suite: a name of tamis.models, or bert_base."""
    pixels: int = 0
    """Height and width of its images, tokens for bert_base; 0 takes those of the suite."""


@dataclass(frozen=True)
class StepCommand(InferCommand):
    """Measure whole training steps against dense torch and peers."""

    memory: bool = True
    """Measure peak memory too: one fresh process for ours and one for dense."""


COMMANDS: dict[str, type[BenchCommand]] = {"layers": LayersCommand, "step": StepCommand, "infer": InferCommand}


def run(arguments: list[str]) -> int:
    """Exit code 0; ``arguments`` begin with ``layers``, ``step`` or ``infer``."""
    what = arguments[0] if arguments else ""
    if what in ("-h", "--help"):
        print("usage: tamis bench layers|step|infer [OPTIONS]\n\ntamis bench layers --help explains the options.")
        return 0
    if what not in COMMANDS:
        raise UsageError(f"tamis bench: expected 'layers', 'step' or 'infer', got {what or 'nothing'!r}")
    options = parse(COMMANDS[what], with_json_target(arguments[1:]), f"tamis bench {what}")
    _check(options)
    from tamis.bench._allocator import keep_memory  # before torch takes memory

    allocator = keep_memory() if options.allocator == "keep" else "default"
    if allocator.startswith("default ("):
        print(f"--allocator keep: {allocator}", file=sys.stderr)
    import torch

    from tamis import bench

    peers = _peers(options.peers, bench.PEERS)
    cases = _cases(what, options, bench)
    torch.set_num_threads(options.threads[0])
    machine = {**bench.describe_machine(peers), "allocator": allocator}
    if machine["busy"]:
        print(f"the machine is busy (load {machine['load_average'][0]}): times are too long", file=sys.stderr)
    if max(options.threads) > machine["cpus"]:
        print(f"--threads {max(options.threads)}: this process may use {machine['cpus']} processor(s)", file=sys.stderr)
    results = []
    for result in _measured(cases, options, _measure(what, options, peers, bench), torch.set_num_threads):
        results.append(result)
        machine["wall_over_cpu"] = round(bench.waiting([r.row() for r in results]), 3)
        machine["busy"] = machine["busy"] or machine["wall_over_cpu"] > _WAITING
        if options.csv:  # after every case, so that a stopped benchmark keeps what it has
            bench.write_csv(options.csv, [r.row() for r in results], machine)
    _show(results, machine, options, bench)
    return 0


def _check(options: BenchCommand) -> None:
    for sparsity in options.sparsity:
        if not 0 <= sparsity < 1:
            raise UsageError(f"--sparsity {sparsity} is no fraction of zeros: expected 0 <= sparsity < 1")
    counts: dict[str, Sequence[int]] = {
        "threads": options.threads, "repeats": (options.repeats,), "batch": options.batch,
    }  # fmt: skip
    for name, values in counts.items():
        for value in values:
            if value < 1:
                raise UsageError(f"--{name} {value}: expected at least 1")
    if isinstance(options, InferCommand) and options.pixels < 0:
        raise UsageError(f"--pixels {options.pixels}: expected at least 1, or 0 for those of the suite")
    if isinstance(options, InferCommand) and options.pixels and not options.model:
        raise UsageError(f"--pixels {options.pixels} belongs to --model; choose cases of the suite with --only")
    for name in ("sparsity", "threads"):
        if not getattr(options, name):
            raise UsageError(f"--{name}: expected at least one number")
    for flag in ("csv", "json"):
        target = getattr(options, flag)
        if target and target != _STDOUT and not Path(target).absolute().parent.is_dir():
            raise UsageError(f"--{flag} {target}: its folder does not exist")


def _peers(given: str, known: Iterable[str]) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"--peers {name!r} is unknown; expected some of {', '.join(known)}")
    return list(dict.fromkeys(names))


def _cases(what: str, options: BenchCommand, bench: Any) -> list[Any]:
    from dataclasses import replace

    suite = {"layers": bench.LAYER_SUITE, "step": bench.STEP_SUITE, "infer": bench.INFER_SUITE}[what]
    if isinstance(options, InferCommand) and options.model:
        cases = bench.named_cases(suite, options.model, options.pixels, options.batch)
    elif options.batch:
        cases = list(dict.fromkeys(replace(case, batch=batch) for batch in options.batch for case in suite))
    else:
        cases = list(suite)
    chosen = [case for case in cases if options.only in case.name]
    if not chosen:
        raise UsageError(f"no case contains {options.only!r}; there are: {', '.join(case.name for case in cases)}")
    return chosen


def _measure(what: str, options: BenchCommand, peers: Sequence[str], bench: Any) -> Callable[[Any], Sequence[Any]]:
    more: dict[str, Any] = {"repeats": options.repeats, "peers": peers}
    if isinstance(options, StepCommand):
        more["memory"] = options.memory
    measure = {"layers": bench.measure_layer, "step": bench.measure_step, "infer": bench.measure_inference}[what]
    return lambda case: measure(case, options.sparsity, **more)


def _measured(
    cases: Sequence[Any], options: BenchCommand, measure: Callable[[Any], Sequence[Any]], use: Callable[[int], None]
) -> Iterator[Any]:
    from tqdm import tqdm

    todo = [(case, threads) for case in cases for threads in options.threads]
    with tqdm(todo, file=sys.stderr, unit="case", disable=None) as progress:
        for case, threads in progress:
            progress.set_description(f"{case.name}, {threads} thread(s)")
            use(threads)
            yield from measure(case)


def _show(results: Sequence[Any], machine: dict[str, Any], options: BenchCommand, bench: Any) -> None:
    rows, means = [result.row() for result in results], bench.mean_speedups(results)
    scaling = bench.thread_scaling(rows, next(iter(rows[0])))
    first = {
        str(mean["sparsity"]): mean["geometric_mean"]
        for mean in means if mean["over"] == "dense" and mean["threads"] == options.threads[0]
    }  # fmt: skip
    found = {"machine": machine, "results": rows, "geometric_mean_speedup": first, "means": means, "scaling": scaling}
    if options.json == _STDOUT:
        print(json.dumps(found, indent=2))
        return
    if options.json:
        from tamis.storage import write_atomic

        write_atomic(options.json, json.dumps(found, indent=2) + "\n")
    text = [bench.render_table([result.brief() for result in results]), ""]
    text += ["speed-up of ours, geometric mean over the cases:", bench.render_table(means), ""]
    if scaling:
        text += ["wall time with fewer threads over that with more:", bench.render_table(scaling), ""]
    notes = dict.fromkeys(f"{name}: {why}" for result in results for name, why in result.notes.items())
    text += [*notes, *([""] if notes else [])]
    if machine["wall_over_cpu"] > _WAITING:
        text.append(f"wall time is {machine['wall_over_cpu']} x CPU time: other work shared the processor")
    text.append(
        f"{machine['processor']}, {machine['isa']}, load {machine['load_average']}"
        f"{' (busy)' if machine['busy'] else ''}, allocator {machine['allocator']}, choice {machine['choice']}, "
        f"peers {machine['peers'] or 'none'}"
    )
    print("\n".join(text))
