"""Nested optimizer state as flat tensors plus plain JSON, so that it can be stored without pickle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from tamis.errors import FileError


def flatten(tree: Any, prefix: str) -> tuple[dict[str, Tensor], Any]:
    """Take the tensors out of nested dicts, lists and tuples.

    Args:
        tree: dicts (string or integer keys), lists, tuples, tensors, numbers, strings, booleans and None.  Numbers of
            numpy come back as those of Python.
        prefix: start of the tensors' names.

    Returns:
        Tensors by name ``prefix/key/key``, and a JSON-able picture from which :func:`unflatten` rebuilds the tree.

    Raises:
        FileError: the tree holds something else, which cannot be stored.
    """
    tensors: dict[str, Tensor] = {}

    def visit(node: Any, name: str) -> Any:
        if isinstance(node, Tensor):
            tensors[name] = node.detach()
            return {"tensor": name}
        if isinstance(node, Mapping):
            return {"items": [[key, visit(value, f"{name}/{key}")] for key, value in node.items()]}
        if isinstance(node, (list, tuple)):
            kind = "tuple" if isinstance(node, tuple) else "list"
            return {kind: [visit(value, f"{name}/{i}") for i, value in enumerate(node)]}
        if isinstance(node, np.number | np.bool_):
            return visit(node.item(), name)
        if isinstance(node, float) and not math.isfinite(node):  # JSON has no number for it
            return {"float": str(node)}
        if node is None or isinstance(node, (bool, int, float, str)):
            return {"value": node}
        raise FileError(
            f"cannot store {name}, which is a {type(node).__name__}: expected tensors, numbers, strings, None, and "
            "dicts, lists and tuples of them; keep it in one of these forms, or outside of what is saved"
        )

    return tensors, visit(tree, prefix)


def unflatten(tensors: Mapping[str, Tensor], picture: Any) -> Any:
    """Rebuild what :func:`flatten` took apart; tensors are cloned.

    Raises:
        FileError: a tensor is missing or the picture is not one of ours.
    """
    if isinstance(picture, Mapping) and len(picture) == 1:
        ((kind, content),) = picture.items()
        if kind == "tensor" and content in tensors:
            return tensors[content].clone()
        if kind == "items":
            return {key: unflatten(tensors, value) for key, value in content}
        if kind in ("tuple", "list"):
            parts = [unflatten(tensors, value) for value in content]
            return tuple(parts) if kind == "tuple" else parts
        if kind == "value":
            return content
        if kind == "float":
            return float(content)
    raise FileError(f"damaged checkpoint: cannot rebuild {str(picture)[:80]!r}")
