"""``tamis sieve``: which of many untrusted data sources to learn from.  Every kind of sieving is one module."""

from __future__ import annotations

import importlib

# first argument -> module with run(arguments); anything else is a table
KINDS: dict[str, str] = {"stress": "tamis.cli.sieve_stress"}
TABLE = "tamis.cli.sieve_table"


def run(arguments: list[str]) -> int:
    """Exit code of the kind that the first argument names, or of sieving the table that it names."""
    if arguments and arguments[0] in KINDS:
        return importlib.import_module(KINDS[arguments[0]]).run(arguments[1:])
    return importlib.import_module(TABLE).run(arguments)
