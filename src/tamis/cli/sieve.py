"""``tamis sieve``: which of many untrusted data sources to learn from.  Every kind of sieving is one module."""

from __future__ import annotations

from tamis.cli._subcommands import dispatch

PARTS = {
    "table": ("tamis.cli._sieve_table", "compare the sources of a table and keep those that agree with the majority"),
    "stress": ("tamis.cli._sieve_stress", "manipulate sources of a table and see which the sieve notices"),
}
OTHERWISE = "table"


def run(arguments: list[str]) -> int:
    """Exit code of the part; a table without the name of a part is sieved."""
    about = "Which sources of a table to learn from; tamis sieve DATA means tamis sieve table DATA."
    return dispatch("sieve", about, PARTS, arguments, OTHERWISE)
