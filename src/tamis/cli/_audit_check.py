"""``tamis audit check``: a written report against a policy, without its models."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from tamis.cli._audit_run import read_policy, write_page


@dataclass(frozen=True)
class Options:
    """Hold a report.json against a policy. Exit code 1 if it is not met, 2 if no rule could be evaluated."""

    report_json: Annotated[str, tyro.conf.Positional]
    """What tamis audit run --json has written."""
    policy: str = "default"
    """A .toml file with limits, or "default"."""
    strict: bool = False
    """Pass only where the whole interval keeps the limit."""
    warnings_as_errors: bool = False
    """Exit code 1 for warnings too."""
    report: str = ""
    """Write the page with the policy's verdict to this .html file."""
    junit: str = ""
    """Write the policy's table to this .xml file."""


def work(options: Options) -> int:
    """The policy's exit code."""
    from tamis.audit import check_content, junit, markdown, read_report
    from tamis.storage import write_atomic

    policy = read_policy(options.policy, options.strict, options.warnings_as_errors)
    assert policy is not None
    content = read_report(options.report_json)
    gate = check_content(content, policy)
    content = content | {"policy": gate.as_json(), "verdict": gate.verdict()}
    if options.junit:
        write_atomic(options.junit, junit(content))
    if options.report:
        write_page(content, options.report, "", False)
    sys.stdout.write(markdown(content))
    return gate.exit_code
