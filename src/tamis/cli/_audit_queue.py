"""``tamis audit queue``: the samples that a person should look at, as CSV."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tamis.cli._arguments import parse
from tamis.cli._audit_run import Inputs, check_limit, read_inputs, read_outputs
from tamis.errors import UsageError


@dataclass(frozen=True)
class Options(Inputs):
    """Write predictions that compression changed, then those that the dense models doubt, riskiest first, as CSV."""

    compressed: tuple[str, ...] = ()
    """Outputs of the compressed models."""
    condition: str = ""
    """Which method and level, such as gmp@sparsity=0.98; the last one if not given."""
    limit: int = 1000
    """The most rows; 0 for all."""
    out: str = ""
    """Write to this .csv file instead of standard output."""


def run(arguments: list[str]) -> int:
    """The exit code."""
    return work(parse(Options, arguments, "tamis audit queue"))


def work(options: Options) -> int:
    """Exit code 0."""
    from tamis.audit import audit

    if not options.compressed:
        raise UsageError("--compressed: expected at least one .npz file of a compressed model")
    check_limit(options.limit)
    report = audit(
        dense=read_outputs(options.dense),
        compressed=read_outputs(options.compressed),
        n_boot=100,
        **read_inputs(options),
    )
    text = report.review_queue(options.out or None, options.condition or None, options.limit or None)
    sys.stdout.write(f"{options.out}\n" if options.out else text)
    return 0
