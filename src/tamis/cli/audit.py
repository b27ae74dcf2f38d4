"""``tamis audit``: whom compression harmed, and a gate for CI.  Each part is a module of its own."""

from __future__ import annotations

from tamis.cli._subcommands import dispatch

PARTS = {
    "run": ("tamis.cli._audit_run", "audit compressed models against dense ones"),
    "predict": ("tamis.cli._audit_predict", "rank attributes and samples at risk from the dense models alone"),
    "check": ("tamis.cli._audit_check", "hold a written report against a policy"),
    "queue": ("tamis.cli._audit_queue", "write the samples that a person should look at, riskiest first, as CSV"),
    "demo": ("tamis.cli._audit_demo", "train small networks, audit them and write the page, in less than a minute"),
    "collect": ("tamis.cli._audit_collect", "run a model on a data set and store its outputs"),
}
OTHERWISE = "run"


def run(arguments: list[str]) -> int:
    """Exit code 0, 1 (policy not met) or 2 (bad input); flags without a part mean ``run``."""
    otherwise = OTHERWISE if arguments and arguments[0].startswith("-") else None
    about = "Compare compressed models with dense ones; tamis audit --dense ... means tamis audit run --dense ..."
    return dispatch("audit", about, PARTS, arguments, otherwise)
