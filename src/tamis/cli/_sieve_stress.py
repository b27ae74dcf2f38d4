"""``tamis sieve stress DATA``: which manipulations of sources the sieve would notice in this table."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import tyro

from tamis.cli._arguments import parse, with_json_target
from tamis.errors import UsageError

_STDOUT = "-"


@dataclass(frozen=True)
class StressCommand:
    """Manipulate random sources of DATA in memory, in eleven published ways, and see which ones the sieve rejects.

    Nothing is changed in DATA. Exit code 1 if --require is given and not met.
    """

    data: Annotated[str, tyro.conf.Positional]
    """A .csv, .tsv or .parquet file with a heading."""
    source: str
    """Column with the source (provider, branch, site) of each row."""
    target: str
    """Column to predict; two values."""
    sensitive: str
    """Column with the group of each row, such as sex; two values."""
    adversaries: str = ""
    """Only these, with commas, such as flip#protected,random; all if not given."""
    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)
    """Shares of bad sources."""
    trials: int = 5
    """Random choices of bad sources for each share."""
    seed: int = 0
    """Of all random choices."""
    clean: str = "auto"
    """How many sources the sieve keeps: auto, majority, a number or a fraction."""
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
    disparity: Literal["signed", "published"] = "signed"
    """How groups are compared."""
    jobs: int = 1
    """Processes for the pairs; -1 for all processors."""
    require: float = 0.0
    """Exit with code 1 if a smaller share of the manipulated sources is rejected, for any adversary and share, or if no
    trial of one was possible."""
    json: str = ""
    """Write all numbers as one JSON object to this file; without a file, print it instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 if ``--require`` is not met."""
    options = parse(StressCommand, with_json_target(arguments), "tamis sieve stress DATA")
    if not 0 <= options.require <= 1:
        raise UsageError(f"--require {options.require}: expected a share between 0 and 1")
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UsageError("tamis sieve needs scikit-learn; install it with pip install tamis[fair]") from None
    from tqdm import tqdm

    from tamis.sources import ADVERSARIES, SieveOptions, read_table, stress_table

    names = tuple(name.strip() for name in options.adversaries.split(",") if name.strip()) or ADVERSARIES[1:]
    with tqdm(total=len(names) * len(options.shares) * options.trials, unit="trial", disable=None) as bar:
        found = stress_table(
            read_table(options.data),
            SieveOptions(
                source=options.source, target=options.target, sensitive=options.sensitive, clean=options.clean,
                positive=options.positive, group=options.group, drop=options.drop, categorical=options.categorical,
                missing=options.missing, disparity=options.disparity, n_jobs=options.jobs,
            ),
            adversaries=names,
            shares=options.shares,
            trials=options.trials,
            random_state=options.seed,
            progress=bar.update,
        )  # fmt: skip
    # where no trial was possible, nothing is known, which meets no requirement
    weak = [item for item in found.results if options.require and not item.caught >= options.require]
    record = {
        "data": options.data,
        "sources": list(found.sources),
        "rejected_before": list(found.rejected_before),
        "results": [
            {key: None if value != value else value for key, value in asdict(item).items()} for item in found.results
        ],
        "required": options.require,
        "met": not weak,
    }
    if options.json == _STDOUT:
        print(json.dumps(record, indent=2))
    else:
        if options.json:
            from tamis.storage import write_atomic

            write_atomic(options.json, json.dumps(record, indent=2) + "\n")
        print(_text(found))
    for item in weak:
        outcome = "no trial was possible" if math.isnan(item.caught) else f"{100 * item.caught:.0f} % rejected"
        print(
            f"tamis sieve stress: {item.adversary} at {100 * item.share:g} % bad sources: {outcome}, "
            f"{100 * options.require:g} % required",
            file=sys.stderr,
        )
    return 1 if weak else 0


def _text(found: Any) -> str:
    """Adversaries as rows, shares as columns: rejected bad sources in percent, in brackets rejected good ones."""
    shares = list(dict.fromkeys(item.share for item in found.results))
    cells = {(item.adversary, item.share): item for item in found.results}
    heading = ["adversary", *(f"{100 * share:g} % bad" for share in shares)]
    rows = [heading]
    for name in dict.fromkeys(item.adversary for item in found.results):
        rows.append([name, *(_cell(cells[name, share]) for share in shares)])
    widths = [max(len(row[c]) for row in rows) for c in range(len(heading))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    first = found.results[0]
    lines += [
        "",
        f"bad sources rejected, in brackets good ones rejected, in percent; {len(found.sources)} sources, "
        f"{first.trials} trials for each cell",
    ]
    if found.rejected_before:
        names = ", ".join(map(str, found.rejected_before))
        lines.append(f"rejected without any manipulation, left alone and not counted: {names}")
    sources, before = len(found.sources), len(found.rejected_before)
    hopeless = [share for share in shares if 2 * (before + _n_bad(found, share)) >= sources]
    if hopeless:
        listed = ", ".join(f"{100 * share:g} %" for share in hopeless)
        lines.append(
            f"at {listed} bad, half of the sources or more are manipulated or were rejected before: nothing can tell "
            "which side is right, so read nothing into these columns"
        )
    skipped = {item.adversary for item in found.results if item.skipped}
    if skipped:
        lines.append(f"not possible in some trials, for want of rows that they need: {', '.join(sorted(skipped))}")
    return "\n".join(lines)


def _n_bad(found: Any, share: float) -> int:
    return next(item.n_bad for item in found.results if item.share == share)


def _cell(item: Any) -> str:
    return "-" if math.isnan(item.caught) else f"{100 * item.caught:.0f} ({100 * item.lost:.0f})"
