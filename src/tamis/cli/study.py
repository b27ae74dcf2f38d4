"""``tamis study methods|bias``: many training runs, compared with intervals or audited for bias."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from tamis.cli._arguments import parse
from tamis.errors import UsageError

_STDOUT = "-"
DEFAULT, DEFAULT_BIAS = "digits_methods", "bias_tinted_digits"


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


@dataclass(frozen=True)
class BiasCommand:
    """Train the networks of STUDY, dense and pruned, and audit what pruning did to their bias.

    What is finished is not trained again, so the same command goes on after Ctrl-C. Exit code 1 if a cell failed.
    """

    study: Annotated[str, tyro.conf.Positional] = DEFAULT_BIAS
    """A .toml file, or the name of a study that comes with tamis."""
    out: str = ""
    """Folder of the study; runs/NAME if not given."""
    data: str = ""
    """Folder with the files of the data, for studies that read some; replaces data.path."""
    images: int = 0
    """Training images at most, for data that is read; replaces data.images."""
    seeds: int = 0
    """Seeds 0 to N - 1 instead of those of the study."""
    epochs: int = 0
    """Epochs of training from random weights instead of those of the study."""
    workers: int = 1
    """Processes that train at the same time, each with one thread."""
    json: str = ""
    """Write one JSON object to this file; without a file, print it instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 if a cell failed; ``arguments`` begin with the name of a study."""
    what = arguments[0] if arguments else ""
    names = "|".join(COMMANDS)
    if what in ("-h", "--help"):
        print(f"usage: tamis study {names} [OPTIONS]\n\ntamis study methods --help explains the options of one.")
        return 0
    if what not in COMMANDS:
        raise UsageError(f"tamis study: expected {' or '.join(map(repr, COMMANDS))}, got {what or 'nothing'!r}")
    kind, work = COMMANDS[what]
    return work(parse(kind, _with_json_target(arguments[1:]), f"tamis study {what}"))


def _with_json_target(arguments: Sequence[str]) -> list[str]:
    """``--json`` without a file means standard output."""
    given = list(arguments)
    for place, word in enumerate(given):
        if word == "--json" and (place + 1 == len(given) or given[place + 1].startswith("--")):
            given[place] = f"--json={_STDOUT}"
    return given


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


def bias(options: BiasCommand) -> int:
    """Train and audit; 1 if a cell failed."""
    for flag in ("seeds", "epochs", "images"):
        if getattr(options, flag) < 0:
            raise UsageError(f"--{flag} {getattr(options, flag)}: expected at least 1, or 0 for that of the study")
    from tamis.report import require_extra
    from tamis.study import audit_setups, bias_cells, load_bias_study, train_bias_study, write_bias_report

    study = load_bias_study(options.study)
    if options.data or options.images:
        path, images = options.data or study.data.path, options.images or study.data.images
        study = replace(study, data=replace(study.data, path=path, images=images))
    if options.seeds:
        study = replace(study, seeds=tuple(range(options.seeds)))
    if options.epochs:
        study = replace(study, training=replace(study.training, epochs=options.epochs))
    require_extra()
    folder = Path(options.out or f"runs/{study.name}")
    found = train_bias_study(bias_cells(study), folder, workers=options.workers)
    page = write_bias_report(study, audit_setups(found.done), folder, missing=found.failed)
    text = (folder / "tables.md").read_text(encoding="utf-8")
    result = {"networks": len(found.done), "failed": dict(found.failed), "folder": str(folder), "report": str(page)}
    if options.json == _STDOUT:
        print(json.dumps(result, indent=2))
    else:
        if options.json:
            from tamis.storage import write_atomic

            write_atomic(options.json, json.dumps(result, indent=2) + "\n")
        print(f"{text}\nresults   {folder / 'networks.csv'}\nreport    {page}")
    for name, error in found.failed.items():
        print(f"tamis study: {name} failed: {error}", file=sys.stderr)
    return 1 if found.failed else 0


# what -> (its flags, its work)
COMMANDS: dict[str, tuple[type[Any], Callable[[Any], int]]] = {
    "methods": (MethodsCommand, methods),
    "bias": (BiasCommand, bias),
}
