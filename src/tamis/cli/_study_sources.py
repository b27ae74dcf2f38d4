"""``tamis study sources``: the published experiment on unreliable sources, beside its published results."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tamis.cli._arguments import parse, with_json_target
from tamis.errors import UsageError

STDOUT = "-"


@dataclass(frozen=True)
class SourcesCommand:
    """Manipulate sources of published tables in eleven ways, and compare FLEA with baselines and fair learners.

    What is finished is not computed again, so the same command goes on after Ctrl-C. Exit code 1 if a cell failed.
    """

    data: str = "compas,drugs,german"
    """Tables, with commas: adult, compas, drugs, german, acs51."""
    folder: str = ""
    """Folder with the files of the tables; $TAMIS_SHARED/data/tab if not given."""
    out: str = "runs/sources"
    """Folder of the study."""
    adversaries: str = ""
    """Only these adversaries, with commas, such as flip#protected,random."""
    methods: str = ""
    """Only these: original, oracle, naive, konstantinov2020, flea, flea_signed, robust_ensemble, hterm, dro."""
    learners: str = ""
    """Only these: none, regularised, preprocessing, postprocessing, adversarial."""
    seeds: int = 10
    """Seeds 0 to N - 1."""
    sources: int = 5
    """Sources that a table is cut into; acs51 has 51 of its own."""
    bad: int = 2
    """How many of them are manipulated."""
    published: str = ""
    """CSV of the published results (.gz too); that of $TAMIS_SHARED if not given."""
    workers: int = 1
    """Processes that compute at the same time, each with one thread."""
    cluster: str = ""
    """Address of a Dask scheduler, such as tcp://host:8786, instead of local processes."""
    json: str = ""
    """Write one JSON object to this file; without a file, print it instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 if a cell failed."""
    return sources(parse(SourcesCommand, with_json_target(arguments), "tamis study sources"))


def sources(options: SourcesCommand) -> int:
    """Compute and compare; 1 if a cell failed."""
    if options.seeds < 1:
        raise UsageError(f"--seeds {options.seeds}: expected at least 1")
    from tamis.report import require_extra
    from tamis.study import SourceStudy, run_source_study, source_cells, write_source_report
    from tamis.study._source_page import source_tables_text
    from tamis.study._source_published import compare, published_file, read_published

    given: dict[str, Any] = {
        name: _names(getattr(options, name))
        for name in ("data", "adversaries", "methods", "learners")
        if getattr(options, name)
    }
    study = SourceStudy(**given, seeds=tuple(range(options.seeds)), n_sources=options.sources, n_bad=options.bad)
    file = published_file(options.published)
    published = read_published(file) if file else {}
    require_extra()
    found = run_source_study(
        source_cells(study),
        options.out,
        data_folder=options.folder or None,
        workers=options.workers,
        cluster=options.cluster,
    )
    agreement = compare(found.rows, published)
    page = write_source_report(found.rows, options.out, agreement=agreement, failed=found.failed, about=found.about)
    result = {
        "about": found.about,
        "results": [{key: None if value != value else value for key, value in row.items()} for row in found.rows],
        "agreement": [asdict(item) for item in agreement],
        "failed": found.failed,
        "folder": options.out,
        "report": str(page),
    }
    if options.json == STDOUT:
        print(json.dumps(result, indent=2))
    else:
        if options.json:
            from tamis.storage import write_atomic

            write_atomic(options.json, json.dumps(result, indent=2) + "\n")
        print(source_tables_text(found.rows, agreement))
        print(f"results   {Path(options.out) / 'results.csv'}\nreport    {page}")
    for name, error in found.failed.items():
        print(f"tamis study: {name} failed: {error}", file=sys.stderr)
    return 1 if found.failed else 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
