"""``tamis study``: what many runs say together.  Every study is one module."""

from __future__ import annotations

from tamis.cli._subcommands import dispatch

PARTS = {
    "methods": ("tamis.cli._study_methods", "compare pruning methods at several sparsities and seeds"),
    "bias": ("tamis.cli._study_bias", "what pruning does to the bias of networks with several labels"),
    "sources": ("tamis.cli._study_sources", "repeat the published experiment on unreliable data sources"),
}


def run(arguments: list[str]) -> int:
    """Exit code 0, or 1 if a cell of the study failed."""
    return dispatch("study", "Many runs with equal budgets; what is finished is not repeated.", PARTS, arguments)
