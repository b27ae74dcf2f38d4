"""A model as a folder that can be published: one safetensors file with packed layers, and a model card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from tamis.errors import FileError, UsageError
from tamis.interop._card import card_text
from tamis.storage import write_atomic
from tamis.train import export_model, load_checkpoint, load_model, load_weights

MODEL_FILE = "model.safetensors"
CARD_FILE = "README.md"


def save_folder(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    architecture: Mapping[str, Any] | None = None,
    method: str = "",
    measured: Mapping[str, float | int | str] | None = None,
    licence: str = "",
) -> Path:
    """Write ``model.safetensors`` and ``README.md`` into ``folder`` and return it.

    The model file is the ``sparse`` form of :func:`tamis.train.export_model`: layers of at least half zeros as live
    weights and their places, all else dense.  The card says how to load it, how sparse each layer is, and what was
    measured; a card that is there already is kept, because it may have been edited.

    Args:
        model: any module, packed, masked or dense; left as it is.
        folder: target; made if it does not exist.
        architecture: arguments of :func:`tamis.models.create_model`, so that the folder alone rebuilds the network.
            Without it :func:`load_folder` needs a network to load into.
        method: name of the published method, for the card.
        measured: names and values for the card, such as ``{"accuracy on digits": 0.99}``.
        licence: identifier for the card, such as ``"apache-2.0"``.

    Raises:
        OSError: a file cannot be written; an older one is untouched then.
    """
    target = Path(folder)
    header: dict[str, Any] = {"method": method}
    if architecture is not None:
        header["architecture"] = dict(architecture)
    export_model(model, target / MODEL_FILE, "sparse", header)
    card = target / CARD_FILE
    if not card.exists():
        write_atomic(card, card_text(model, method, dict(measured or {}), licence, rebuilt=architecture is not None))
    return target


def load_folder(folder: str | os.PathLike[str], model: nn.Module | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a folder that :func:`save_folder` wrote, dense with exact zeros and in eval mode, and its header.

    Pack it afterwards with :func:`tamis.sparsify`.

    Args:
        folder: holds ``model.safetensors``; nothing else in it is read.
        model: a network of the same names and shapes, filled in place; None rebuilds the one that the file names.

    Raises:
        FileError: the file is missing, damaged, foreign, names no network, or does not fit ``model``.
        UsageError: ``model`` is no module.
    """
    file = Path(folder) / MODEL_FILE
    if model is None:
        return load_model(file)
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}; expected a torch.nn.Module, or None")
    checkpoint = load_checkpoint(file)
    load_weights(model, checkpoint)
    return model.eval(), checkpoint.header


def check_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, if it holds a readable model file.

    Raises:
        FileError: the file is missing, damaged or foreign.
    """
    load_checkpoint(Path(folder) / MODEL_FILE)
    if not (Path(folder) / CARD_FILE).is_file():
        raise FileError(f"{folder}: has no {CARD_FILE}; expected a folder that tamis.interop.save_folder wrote")
    return Path(folder)
