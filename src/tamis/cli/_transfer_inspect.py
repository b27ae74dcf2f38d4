"""``tamis transfer inspect CKPT``: the style of a checkpoint, and the mask of every layer with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from tamis.cli._arguments import parse, show


@dataclass(frozen=True)
class TransferInspectCommand:
    """Show what a checkpoint holds: its style, and for every layer sparsity, zeros that are not pruned, and where the
    mask comes from.  Nothing in the file is executed.
    """

    checkpoint: Annotated[str, tyro.conf.Positional]
    """A torch or safetensors file of any style, or a run folder of tamis."""
    arch: str = "auto"
    """Network to compare names and shapes with; auto looks for the one that fits."""
    min_zero_fraction: float = 0.01
    """Share of exact zeros from which a layer without a mask counts as sparse."""
    style: str = ""
    """A .toml file with a style of your own, which is tried too."""
    json: bool = False
    """Print one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(TransferInspectCommand, arguments, "tamis transfer inspect")
    from tamis.errors import UsageError
    from tamis.transfer import find_architecture, read_sparse_state, styles_with

    state = read_sparse_state(
        options.checkpoint, min_zero_fraction=options.min_zero_fraction, styles=styles_with(options.style)
    )
    try:
        fits, problem = str(find_architecture(state, options.arch)["name"]), ""
    except UsageError as error:
        if options.arch != "auto":
            raise
        fits, problem = "", str(error)  # the table is worth seeing all the same
    result = {
        "file": str(state.file),
        "styles": list(state.styles),
        "architecture": fits,
        "stem_pool": state.stem_pool,
        "interpolation": state.interpolation,
        "provenance": dict(state.provenance),
        "sparsity": state.sparsity,
        "sha256": state.sha256(),
        "layers": [row.row() for row in state.layers],
        "warnings": [*state.warnings, *([problem] if problem else [])],
    }
    show(result, _text(result), options.json)
    return 0


def _text(result: Mapping[str, Any]) -> str:
    lines = [
        f"file           {result['file']}",
        f"style          {' + '.join(result['styles'])}",
        f"architecture   {result['architecture'] or 'unknown'}",
        f"sparsity       {result['sparsity']:.4f} of {sum(row['total'] for row in result['layers']):,} weights, "
        "the head not counted",
    ]
    if result["stem_pool"] != "as_built":
        lines.append(
            f"stem           max pool with {result['stem_pool']} padding; images were resized {result['interpolation']}"
        )
    stated = {"sparsity": "asked for"}  # the measured one stands above
    lines += [
        f"{stated.get(name, name):<15}{value}" for name, value in result["provenance"].items() if name != "classes"
    ]
    width = max([len(row["layer"]) for row in result["layers"]] + [5])
    lines += ["", f"{'layer':<{width}}  {'shape':<16}{'sparsity':>9}{'active zeros':>14}  {'style':<14}mask from"]
    for row in result["layers"]:
        shape = "x".join(map(str, row["shape"]))
        lines.append(
            f"{row['layer']:<{width}}  {shape:<16}{row['sparsity']:>9.4f}{row['active_zeros']:>14,}  "
            f"{row['style']:<14}{row['source']}"
        )
    return "\n".join([*lines, *(f"warning: {text}" for text in result["warnings"])])
