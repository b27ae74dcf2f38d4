"""Trained models as files that others can read: dense or packed safetensors, and ONNX."""

from __future__ import annotations

import copy
import importlib.util
import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.models import create_described
from tamis.nn import densify, sparsify
from tamis.storage import write_atomic
from tamis.train._checkpoint import load_checkpoint, load_weights, packed_tensors
from tamis.train._container import save_container

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
        return _export_onnx(plain.eval(), path, header)
    if form == "sparse":
        sparsify(plain)
    tensors, shapes = packed_tensors(plain)
    return save_container(path, tensors, {**header, "form": form, "shapes": shapes})


def load_model(path: str | os.PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """The dense network of a checkpoint or of an exported safetensors file, in eval mode, and the file's header.

    Raises:
        FileError: the file is damaged or foreign, or does not say which network it holds.
    """
    checkpoint = load_checkpoint(path)
    model = create_described(checkpoint.header.get("architecture"), checkpoint.model, str(path))
    load_weights(model, checkpoint)
    return model.eval(), checkpoint.header


def _export_onnx(model: nn.Module, path: str | os.PathLike[str], header: Mapping[str, Any]) -> Path:
    if importlib.util.find_spec("onnx") is None:
        raise UsageError("ONNX export needs the package onnx: pip install 'tamis[onnx]'")
    architecture = header["architecture"]
    example: Tensor = torch.zeros(1, architecture["in_channels"], *architecture["image_size"])
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter needs no package but onnx; torch announces its end at every call.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            stream,  # type: ignore[arg-type]
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False,
        )
    return write_atomic(path, stream.getvalue())
