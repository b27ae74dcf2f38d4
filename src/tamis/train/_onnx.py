"""Any model as an ONNX file: the dense network with its zeros written out."""

from __future__ import annotations

import copy
import importlib.util
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.nn import densify
from tamis.storage import write_atomic


def export_onnx(
    model: nn.Module,
    examples: Tensor | Sequence[Tensor],
    path: str | os.PathLike[str],
    *,
    inputs: Sequence[str] = ("images",),
    outputs: Sequence[str] = ("logits",),
    axes: Mapping[int, str] | None = None,
) -> Path:
    """Write a model in eval mode as ONNX; returns the file.

    Zeros are stored like any other number, so the file is as large as that of the dense model and runs as fast in an
    ONNX runtime that has no sparse kernels.

    Args:
        model: any module that torch can trace, packed, masked by an attached sparsifier, or dense; left as it is.
        examples: one input tensor, or one for each argument of ``forward``; their values do not matter.
        path: target file; parent folders are made.
        inputs: names of the inputs, one for each example.
        outputs: names of the outputs.
        axes: names of the dimensions whose size is left open, in all inputs and outputs that have them; None leaves
            the first one open, as ``{0: "batch"}`` does.

    Raises:
        UsageError: the package onnx is missing, the number of names is not that of examples or results, the model
            returns anything but tensors, or torch cannot trace it.
        OSError: the file cannot be written; an older one is untouched then.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UsageError("ONNX export needs the package onnx: pip install 'tamis[onnx]'")
    tensors = (examples,) if isinstance(examples, Tensor) else tuple(examples)
    if len(tensors) != len(inputs):
        raise UsageError(f"{len(tensors)} examples for the inputs {list(inputs)}; expected one example for each")
    plain = densify(copy.deepcopy(model)).eval()
    open_axes = {0: "batch"} if axes is None else dict(axes)
    with torch.no_grad():
        result: Any = plain(*tensors)
    found = (result,) if isinstance(result, Tensor) else result
    if not isinstance(found, tuple | list) or not all(isinstance(value, Tensor) for value in found):
        raise UsageError(
            f"{type(model).__name__} returns a {type(result).__name__}; expected a tensor or a tuple of tensors "
            "(with transformers: model.config.return_dict = False)"
        )
    if len(found) != len(outputs):
        raise UsageError(f"{len(found)} results for the outputs {list(outputs)}; expected one name for each")
    named = [*zip(inputs, tensors, strict=True), *zip(outputs, found, strict=True)]
    dynamic = {name: {axis: label for axis, label in open_axes.items() if axis < t.dim()} for name, t in named}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter needs no package but onnx; torch announces its end at every call.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                plain,
                tensors,
                stream,  # type: ignore[arg-type]
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=dynamic,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
            raise UsageError(f"torch cannot write {type(model).__name__} as ONNX: {error}") from error
    return write_atomic(path, stream.getvalue())
