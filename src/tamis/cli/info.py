"""``tamis info``: what this machine offers and what would make it faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamis.cli._arguments import parse, show


@dataclass(frozen=True)
class InfoCommand:
    """Show instruction set, threads, allocator, huge pages, versions, and what would make this machine faster."""

    json: bool = False
    """Print one JSON object instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(InfoCommand, arguments, "tamis info")
    from tamis.kernels import choices
    from tamis.train import describe_environment

    found = describe_environment()
    result = {**found, "choices": choices.known(), "advice": advice(found)}
    show(result, _text(result), options.json)
    return 0


def advice(found: Mapping[str, Any]) -> list[str]:
    """What a user could change, most useful first; empty when nothing is known to help.

    Args:
        found: the result of ``tamis.train.describe_environment()``.
    """
    hints = []
    if not found["native"]:
        hints.append("the native kernels are not loaded: unset TAMIS_NATIVE=0, or reinstall with a C++ compiler")
    best = found["available_isas"][0] if found["available_isas"] else found["isa"]
    if found["native"] and found["isa"] != best:
        hints.append(f"TAMIS_ISA restricts the kernels to {found['isa']}; this processor offers {best}")
    if found["threads"] > found["cpus"]:
        hints.append(f"{found['threads']} threads on {found['cpus']} usable processors: set OMP_NUM_THREADS lower")
    if found["threads"] < found["cpus"]:
        hints.append(f"{found['threads']} of {found['cpus']} usable processors are used: raise OMP_NUM_THREADS")
    if found["load_average"] and found["load_average"][0] > 0.5 * found["cpus"]:
        hints.append(f"the machine is busy (load {found['load_average'][0]}): measured times will be too long")
    if found["allocator"] == "system default" and found["system"] == "Linux":
        hints.append("jemalloc or tcmalloc (LD_PRELOAD) often saves allocation time on large activations")
    if found["huge_pages"] == "never":
        hints.append("transparent huge pages are off; 'madvise' or 'always' saves address translation")
    return hints


def _text(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    sparse = sum(row["use"] == "sparse" for row in result["choices"])
    load = ", ".join(map(str, result["load_average"] or [])) or "unknown"
    lines = [
        f"versions      {versions}",
        f"processor     {result['processor']} ({result['system']} {result['machine']})",
        f"kernels       {'native' if result['native'] else 'plain torch'}, instruction set {result['isa']} "
        f"(available: {', '.join(result['available_isas']) or 'none'})",
        f"threads       {result['threads']} on {result['cpus']} usable processors; load average {load}",
        f"memory        allocator: {result['allocator']}; huge pages: {result['huge_pages'] or 'unknown'}",
        f"choices       {len(result['choices'])} measured decisions, {sparse} of them for the sparse kernel "
        "(--json lists them)",
        *(f"faster        {hint}" for hint in result["advice"] or ["nothing known to help"]),
    ]
    return "\n".join(lines)
