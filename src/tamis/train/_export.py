"""Trained models as files that others can read: dense or packed safetensors, and ONNX."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tamis.models import create_described
from tamis.nn import densify, sparsify
from tamis.train._checkpoint import load_checkpoint, load_weights
from tamis.train._container import save_container
from tamis.train._model_content import model_content
from tamis.train._onnx import export_onnx

Form = Literal["dense", "sparse", "onnx"]


def export_model(model: nn.Module, path: str | os.PathLike[str], form: Form, header: Mapping[str, Any]) -> Path:
    """Write the weights of a model.

    ``dense``: a plain ``state_dict`` in safetensors, zeros included, which any program reads without tamis.
    ``sparse``: the same with every layer of at least half zeros as ``name.values``, ``name.indices``,
    ``name.row_ptr`` (float32, int32, int64), whose dense shapes stand in the header.  ``onnx``: the dense network in
    eval mode for batches of any size.

    Args:
        model: any module, packed or dense; left as it is but for mode and packing, which are restored by copying.
        path: target file.
        form: see above.
        header: JSON types; ``architecture`` (arguments of :func:`tamis.models.create_model`) lets tamis rebuild the
            network, and ``onnx`` needs it.

    Raises:
        UsageError: ``onnx`` is asked for and the package onnx is missing.
        OSError: the file cannot be written.
    """
    plain = densify(copy.deepcopy(model))
    if form == "onnx":
        architecture = header["architecture"]
        return export_onnx(plain, torch.zeros(1, architecture["in_channels"], *architecture["image_size"]), path)
    if form == "sparse":
        sparsify(plain)
    tensors, content = model_content(plain)
    return save_container(path, tensors, {**header, "form": form, **content})


def load_model(path: str | os.PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """The dense network of a checkpoint or of an exported safetensors file, in eval mode, and the file's header.

    Raises:
        FileError: the file is damaged or foreign, or does not say which network it holds.
    """
    checkpoint = load_checkpoint(path)
    model = create_described(checkpoint.header.get("architecture"), checkpoint.model, str(path))
    load_weights(model, checkpoint)
    return model.eval(), checkpoint.header
