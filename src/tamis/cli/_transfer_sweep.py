"""``tamis transfer sweep``: many models, tasks and seeds into one table."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from tamis.cli._arguments import parse, show
from tamis.errors import UsageError

DEFAULT = "transfer_digits"


@dataclass(frozen=True)
class SweepCommand:
    """Run every cell of SWEEP that has no result yet: upstream models x tasks x kinds x seeds.

    Rows are appended to results.csv in the folder of the sweep. The same command goes on after Ctrl-C or a crash, and
    adds what a changed sweep asks for. Exit code 1 if a cell is missing; each is named.
    """

    sweep: Annotated[str, tyro.conf.Positional] = DEFAULT
    """A .toml file, or the name of a sweep that comes with tamis."""
    out: str = ""
    """Folder of the sweep; runs/NAME if not given."""
    root: str = "."
    """Folder that paths of tasks are relative to, and that holds the archives of known tasks."""
    models: str = "."
    """Folder that paths of upstream models are relative to."""
    kinds: str = ""
    """linear or full instead of those of the sweep."""
    seeds: int = 0
    """Seeds 0 to N - 1 instead of those of the sweep."""
    workers: int = 1
    """Processes of this machine, each with one thread."""
    cluster: str = ""
    """Address of a Dask scheduler that runs the cells instead, such as tcp://10.0.0.1:8786 (needs tamis[cluster])."""
    speed: bool = False
    """When the cells are done, time every sparse model against its dense copy, in turns, into speeds.csv."""
    json: bool = False
    """Print one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 if a cell is missing."""
    options = parse(SweepCommand, arguments, "tamis transfer sweep")
    if options.seeds < 0:
        raise UsageError(f"--seeds {options.seeds}: expected at least 1, or 0 for those of the sweep")
    from tamis.study import load_sweep, run_sweep

    sweep = load_sweep(options.sweep)
    changes: dict[str, Any] = {}
    if options.kinds:
        changes["kinds"] = tuple(name.strip() for name in options.kinds.split(",") if name.strip())
    if options.seeds:
        changes["seeds"] = tuple(range(options.seeds))
    sweep = replace(sweep, **changes)
    found = run_sweep(
        sweep,
        Path(options.out or f"runs/{sweep.name}"),
        root=options.root,
        models=options.models,
        workers=options.workers,
        cluster=options.cluster,
    )
    result = {"table": str(found.table), "done": len(found.done), "missing": found.missing}
    text = f"{len(found.done)} cells done, {len(found.missing)} missing\nresults   {found.table}"
    missing = dict(found.missing)
    if options.speed:
        from tamis.study import measure_sweep_speed

        file, unmeasured = measure_sweep_speed(sweep, found.table.parent, root=options.root, models=options.models)
        missing |= {f"speed of {name}": reason for name, reason in unmeasured.items()}
        result |= {"speeds": str(file or ""), "missing": missing}
        text += f"\nspeeds    {file or 'none: no sparse model could be measured'}"
    show(result, text, options.json)
    for name, reason in missing.items():
        print(f"missing {name}: {reason}", file=sys.stderr)
    return 1 if missing else 0
