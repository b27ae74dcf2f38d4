"""``tamis study methods``: many training runs with equal budgets, compared with intervals."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from tamis.cli._arguments import parse, with_json_target
from tamis.errors import UsageError

_STDOUT = "-"
DEFAULT = "digits_methods"


@dataclass(frozen=True)
class MethodsCommand:
    """Train all methods of STUDY at all its sparsities and seeds, and compare them.

    What is finished is not trained again, so the same command goes on after Ctrl-C, and adds what a changed study
    asks for. Exit code 1 if a cell failed.
    """

    study: Annotated[str, tyro.conf.Positional] = DEFAULT
    """A .toml file, or the name of a study that comes with tamis."""
    out: str = ""
    """Folder of the study; runs/NAME if not given."""
    data: str = ""
    """digits, synthetic, an .npz file, a folder of images, or torchvision:NAME; replaces data.source."""
    methods: str = ""
    """Train and show only these methods, with commas; the dense baseline is always there."""
    sparsity: tuple[float, ...] = ()
    """Fractions of zeros instead of those of the study."""
    seeds: int = 0
    """Seeds 0 to N - 1 instead of those of the study."""
    epochs: int = 0
    """Epochs of every cell instead of those of the study's base recipe."""
    reference: str = ""
    """The method that the others are compared with, seed by seed."""
    workers: int = 1
    """Processes that train at the same time, each with one thread."""
    json: str = ""
    """Write one JSON object to this file; without a file, print it instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 if a cell failed."""
    return methods(parse(MethodsCommand, with_json_target(arguments), "tamis study methods"))


def methods(options: MethodsCommand) -> int:
    """Train and compare; 1 if a cell failed."""
    for flag in ("seeds", "epochs"):
        if getattr(options, flag) < 0:
            raise UsageError(f"--{flag} {getattr(options, flag)}: expected at least 1, or 0 for that of the study")
    from tamis.report import require_extra
    from tamis.study import cells_of, load_study, run_study, write_study_report

    study = load_study(options.study)
    changes: dict[str, Any] = {}
    if options.methods:
        names = tuple(name.strip() for name in options.methods.split(",") if name.strip())
        changes["methods"] = tuple(name for name in dict.fromkeys(names) if name != "dense")
        if study.reference not in (*names, "dense"):
            changes["reference"] = ""
    if options.sparsity:
        changes["sparsity"] = options.sparsity
    if options.seeds:
        changes["seeds"] = tuple(range(options.seeds))
    if options.reference:
        changes["reference"] = options.reference
    study = replace(study, **changes)
    cells = cells_of(study, data=options.data, epochs=options.epochs)
    require_extra()
    folder = Path(options.out or f"runs/{study.name}")
    found = run_study(study, cells, folder, workers=options.workers)
    page = write_study_report(found.results, folder, reference=study.compared_with, about=found.about)
    failed = {result.cell: result.error for result in found.results if result.state == "failed"}
    result = {**found.as_json(), "failed": failed, "folder": str(folder), "report": str(page)}
    _show(result, found.results, folder, page, study.compared_with, options.json)
    for name, error in failed.items():
        print(f"tamis study: {name} failed: {error}", file=sys.stderr)
    return 1 if failed else 0


def _show(
    result: Mapping[str, Any], results: Sequence[Any], folder: Path, page: Path, reference: str, target: str
) -> None:
    if target == _STDOUT:
        print(json.dumps(result, indent=2))
        return
    if target:
        from tamis.storage import write_atomic

        write_atomic(target, json.dumps(result, indent=2) + "\n")
    from tamis.study import accuracy_text

    print(f"{accuracy_text(results, reference)}\n\nresults   {folder / 'results.csv'}\nreport    {page}")
