"""``tamis audit [run|predict|check|queue|collect]``: whom compression harmed, and a gate for CI.

Each sub-command is one module ``tamis.cli._audit_NAME`` with ``Options``, a frozen dataclass of flags, and
``work(options) -> int``, which returns the exit code.
"""

from __future__ import annotations

import importlib

from tamis.cli._arguments import parse
from tamis.errors import UsageError

# sub-command -> what it does
COMMANDS = {
    "run": "audit compressed models against dense ones; the default if no sub-command is given",
    "predict": "rank attributes and samples at risk from the dense models alone",
    "check": "hold a written report against a policy",
    "queue": "write the samples that a person should look at, riskiest first, as CSV",
    "collect": "run a model on a data set and store its outputs",
}


def run(arguments: list[str]) -> int:
    """Exit code 0, 1 (policy not met) or 2 (bad input); flags without a sub-command mean ``run``."""
    what = arguments[0] if arguments else ""
    if what in ("-h", "--help", ""):
        print(_help())
        return 0 if what else 2
    if what.startswith("-"):
        what, arguments = "run", ["run", *arguments]
    if what not in COMMANDS:
        raise UsageError(f"tamis audit: expected {', '.join(COMMANDS)}, got {what!r}")
    module = importlib.import_module(f"tamis.cli._audit_{what}")
    return module.work(parse(module.Options, arguments[1:], f"tamis audit {what}"))


def _help() -> str:
    rows = "\n".join(f"  {name:<8} {what}" for name, what in COMMANDS.items())
    return (
        f"usage: tamis audit [{'|'.join(COMMANDS)}] [OPTIONS]\n\n{rows}\n\n"
        "tamis audit run --help explains the options of one."
    )
