"""The network that a file describes, built only if the file could hold its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import FileError
from tamis.models._registry import create_model

# a head of another size than that of the file may be this large
_SPARE_WEIGHTS = 16 << 20


def create_described(architecture: Any, tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """:func:`create_model` for the arguments that stand in a file; its weights are fresh.

    The network is laid out without memory first: a few bytes of description must not fill it.

    Args:
        architecture: arguments of :func:`create_model` as the file has them, whatever they are.
        tensors: what the file holds.
        where: the file, for messages.

    Raises:
        FileError: they are no such arguments, or describe a network that is much larger than the file.
    """
    have = sum(tensor.numel() for tensor in tensors.values())
    try:
        if int(architecture.get("depth", 0)) > len(tensors) + 10:  # each layer has a tensor
            raise FileError(f"{where}: describes {architecture['depth']} layers and holds {len(tensors)} tensors")
        with torch.device("meta"):
            plan = create_model(**architecture)
        wanted = sum(parameter.numel() for parameter in plan.parameters())
        if wanted > 2 * have + _SPARE_WEIGHTS:
            raise FileError(f"{where}: describes a network of {wanted:,} weights and holds {have:,}; it is damaged")
        return create_model(**architecture)
    except FileError:
        raise
    except (TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise FileError(f"{where}: does not say which network it holds ({error})") from error
