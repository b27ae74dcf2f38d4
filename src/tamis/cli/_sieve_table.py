"""``tamis sieve DATA``: compare the sources of a table, and keep those that agree with the majority."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from tamis.cli._arguments import parse, with_json_target
from tamis.errors import FileError, UsageError

_STDOUT = "-"


@dataclass(frozen=True)
class SieveCommand:
    """Compare the sources of DATA pair by pair, and tell which to learn from and which to look into.

    Rows of a source are kept or rejected together. Nothing is changed in DATA; results are written when all is done.
    """

    data: Annotated[str, tyro.conf.Positional]
    """A .csv, .tsv or .parquet file with a heading."""
    source: str
    """Column with the source (provider, branch, site) of each row."""
    target: str
    """Column to predict; two values."""
    sensitive: str = ""
    """Column with the group of each row, such as sex; two values. Without it fairness is left out of the comparison."""
    clean: str = "auto"
    """auto: all sources as near to the majority as its own members; majority: floor(N / 2) + 1 sources, which the
    guarantee covers if more than half are clean; or how many sources to keep, or which fraction (0.8)."""
    positive: str = ""
    """Value of the target that counts as 1, where there are more than two."""
    group: str = ""
    """Value of the sensitive column that counts as 1, where there are more than two."""
    drop: tuple[str, ...] = ()
    """Columns that are no features, such as identifiers."""
    categorical: tuple[str, ...] = ()
    """Columns of numbers that are names, such as postcodes."""
    missing: Literal["refuse", "fill"] = "refuse"
    """Missing features: an error, or a level of their own (numbers: the median and a mark)."""
    empty_group: Literal["refuse", "suspect"] = "refuse"
    """A source without any row of one group: an error, or the most suspect of all."""
    disparity: Literal["signed", "published"] = "signed"
    """How groups are compared; published is that of the FLEA paper, and slower."""
    jobs: int = 1
    """Processes for the pairs; -1 for all processors."""
    keep: str = ""
    """Write the rows of kept sources to this file, every value untouched."""
    rejected: str = ""
    """Write the rows of rejected sources to this file."""
    report: str = ""
    """Write a page with the reasons to this .html file; it works offline."""
    json: str = ""
    """Write all numbers as one JSON object to this file; without a file, print it instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0; rejected sources are a result, no failure."""
    options = parse(SieveCommand, with_json_target(arguments), "tamis sieve DATA")
    if options.jobs == 0:
        raise UsageError("--jobs 0: expected a number of processes, or -1 for all processors")
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UsageError("tamis sieve needs scikit-learn; install it with pip install tamis[fair]") from None
    from tamis.sources import SieveOptions, check_target, read_table, sieve_table, write_rows

    table = read_table(options.data)
    for target in (options.keep, options.rejected):
        if target:
            check_target(table, Path(target))
    _check_outputs(options)
    found = sieve_table(
        table,
        SieveOptions(
            source=options.source, target=options.target, sensitive=options.sensitive, clean=options.clean,
            positive=options.positive, group=options.group, drop=options.drop, categorical=options.categorical,
            missing=options.missing, empty_group=options.empty_group, disparity=options.disparity, n_jobs=options.jobs,
            progress=sys.stderr.isatty(),
        ),
    )  # fmt: skip
    if not options.sensitive:
        print(
            "tamis sieve: without --sensitive only labels were compared, not the treatment of groups", file=sys.stderr
        )
    written = {}
    for what, target, mask in (
        ("kept rows", options.keep, found.kept_rows),
        ("rejected rows", options.rejected, ~found.kept_rows),
    ):
        if target:
            written[what] = str(write_rows(table, mask, target))
    if options.report:
        from tamis.report import write_sieve_report

        written["report"] = str(write_sieve_report(found.record, options.report))
    if options.json and options.json != _STDOUT:
        written["json"] = str(_write_json(found.record, options.json))
    if options.json == _STDOUT:
        print(json.dumps(found.record, indent=2))
    else:
        print(_text(found.record, written))
    return 0


def _check_outputs(options: SieveCommand) -> None:
    named = [
        name for name in (options.keep, options.rejected, options.report, options.json) if name not in ("", _STDOUT)
    ]
    if len({Path(name).resolve() for name in named}) < len(named) or Path(options.data).resolve() in {
        Path(name).resolve() for name in named
    }:
        raise UsageError("--keep, --rejected, --report and --json must name different files, and not DATA")
    if options.report:
        from tamis.report import check_page, require_extra

        check_page(options.report)
        require_extra()


def _write_json(record: Mapping[str, Any], target: str) -> Path:
    from tamis.storage import write_atomic

    try:
        return write_atomic(target, json.dumps(record, indent=2) + "\n")
    except OSError as problem:
        raise FileError(f"{target} cannot be written ({problem.strerror}); choose another place") from None


def _text(record: Mapping[str, Any], written: Mapping[str, str]) -> str:
    """The sources as a table, why each rejected one was rejected, and the files written."""
    components = list(record["usual"])
    heading = ["rank", "source", "rows", "", "score", *components]
    rows = [heading]
    for source in record["sources"]:
        mark = "kept" if source["kept"] else "REJECTED"
        numbers = [_number(source["components"][name]) for name in components]
        rows.append(
            [str(source["rank"]), source["name"], f"{source['rows']:,}", mark, _number(source["score"]), *numbers]
        )
    widths = [max(len(row[c]) for row in rows) for c in range(len(heading))]
    left = (1, 3)
    lines = [
        "  ".join(
            text.ljust(w) if c in left else text.rjust(w) for c, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    kept, total = len(record["kept"]), len(record["sources"])
    lines += ["", f"{kept} of {total} sources kept, {record['rows_kept']:,} of {record['rows']:,} rows"]
    for source in record["sources"]:
        if not source["kept"]:
            lines += ["", f"{source['name']}: largest is its {source['largest_component']}. {source['why']}"]
    lines += ["", *(f"note: {note}" for note in record["notes"])] if record["notes"] else []
    if written:
        width = max(map(len, written))
        lines += ["", *(f"{what:<{width}}  {path}" for what, path in written.items())]
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
