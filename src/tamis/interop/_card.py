"""The text of a model card: what the Hub reads at its head, and what a person reads below."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping

from torch import nn

import tamis
from tamis.nn import densify, prunable_modules

_REBUILT = """\
model, header = load_from_hub("NAME/OF_THIS_REPOSITORY")
"""
_FILLED = """\
network = ...  # a network with the same names and shapes
model, header = load_from_hub("NAME/OF_THIS_REPOSITORY", model=network)
"""


def card_text(
    model: nn.Module, method: str, measured: Mapping[str, float | int | str], licence: str, *, rebuilt: bool
) -> str:
    """Markdown with the Hub's metadata at its head.

    Args:
        model: packed or dense; not changed.
        method: name of the published method, or "".
        measured: what the publisher measured, by name.
        licence: the Hub's identifier of a licence, or "".
        rebuilt: whether the model file names its network.
    """
    layers = prunable_modules(densify(copy.deepcopy(model)))
    rows = [(name, layer.weight.numel(), int((layer.weight != 0).sum())) for name, layer in layers.items()]
    total, live = sum(row[1] for row in rows), sum(row[2] for row in rows)
    # JSON strings are YAML strings: whatever a caller hands in stays one value.
    head = ["---", "library_name: tamis", "tags:", "- sparse", "- pruning"]
    head += [f"- {json.dumps(method)}"] if method else []
    head += [f"license: {json.dumps(licence)}"] if licence else []
    lines = [*head, "---", "", f"# A sparse {type(model).__name__}", ""]
    share = 1 - live / total if total else 0.0
    lines += [f"{live:,} of {total:,} weights of linear and convolutional layers live ({share:.2%} zeros)."]
    lines += [f"Pruned with {_plain(method)}."] if method else []
    if measured:
        lines += ["", "| measured | value |", "|---|---|"]
        lines += [f"| {_plain(name)} | {_plain(value)} |" for name, value in measured.items()]
    call = _REBUILT if rebuilt else _FILLED
    lines += ["", "```python", "import tamis", "from tamis.interop import load_from_hub", ""]
    lines += [*call.splitlines(), "tamis.sparsify(model)  # packed: stores and computes with live weights", "```", ""]
    lines += ["| layer | weights | live |", "|---|---|---|"]
    lines += [f"| {_plain(name) or '(the model)'} | {size:,} | {alive:,} |" for name, size, alive in rows]
    return "\n".join([*lines, "", f"Written by tamis {tamis.__version__}.", ""])


def _plain(value: object) -> str:
    """One cell of a Markdown table: no line ends, no bars, no HTML."""
    text = " ".join(str(value).split())
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(mark, safe)
    return text
