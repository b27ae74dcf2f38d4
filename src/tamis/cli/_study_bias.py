"""``tamis study bias``: dense and pruned networks on data with several labels, audited for bias."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from tamis.cli._arguments import parse, with_json_target
from tamis.errors import UsageError

_STDOUT = "-"
DEFAULT = "bias_tinted_digits"


@dataclass(frozen=True)
class BiasCommand:
    """Train the networks of STUDY, dense and pruned, and audit what pruning did to their bias.

    What is finished is not trained again, so the same command goes on after Ctrl-C. Exit code 1 if a cell failed.
    """

    study: Annotated[str, tyro.conf.Positional] = DEFAULT
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
    """Exit code 0, or 1 if a cell failed."""
    return bias(parse(BiasCommand, with_json_target(arguments), "tamis study bias"))


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
