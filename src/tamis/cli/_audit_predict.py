"""``tamis audit predict``: what the dense models alone say about attributes and samples at risk."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tamis.cli._arguments import parse
from tamis.cli._audit_run import Inputs, check_limit, read_inputs, read_outputs


@dataclass(frozen=True)
class Options(Inputs):
    """Rank attributes and samples at risk from the dense models alone; needs no compressed model."""

    json: str = ""
    """Write the ranking as JSON to this file; "-" prints it instead of text."""
    queue: str = ""
    """Write the samples that a person should look at to this .csv file, riskiest first."""
    limit: int = 1000
    """The most rows of the queue; 0 for all."""


def run(arguments: list[str]) -> int:
    """The exit code."""
    return work(parse(Options, arguments, "tamis audit predict"))


def work(options: Options) -> int:
    """Exit code 0."""
    import json

    from tamis.audit import predict
    from tamis.storage import write_atomic

    check_limit(options.limit)
    given = read_inputs(options)
    found = predict(dense=read_outputs(options.dense), **given)
    text = json.dumps(found.content, sort_keys=True, allow_nan=False) + "\n"
    if options.json and options.json != "-":
        write_atomic(options.json, text)
    if options.queue:
        found.review_queue(options.queue, options.limit or None)
    sys.stdout.write(text if options.json == "-" else found.to_markdown())
    return 0
