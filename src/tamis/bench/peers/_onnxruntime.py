"""ONNX Runtime on the dense layer or network: inference only."""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from tamis.bench._problem import Contestant, Problem
from tamis.bench.peers._base import Network, Peer

_IR, _OPSET = 9, 17  # read by every onnxruntime since 1.17


def _layer(problem: Problem) -> dict[str, Contestant]:
    onnx: Any = importlib.import_module("onnx")
    helper, case = onnx.helper, problem.case
    if case.pixels:
        node = helper.make_node(
            "Conv",
            ["x", "w"],
            ["y"],
            kernel_shape=[case.kernel] * 2,
            strides=[case.stride] * 2,
            pads=[case.padding] * 4,
        )
    else:
        node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    shapes = {"x": case.input_shape, "y": case.output_shape}
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items())
    weight = onnx.numpy_helper.from_array(problem.weight.numpy(), "w")
    graph = helper.make_graph([node], "layer", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    return {"onnxruntime": Contestant(_Session(model.SerializeToString()), problem.x)}


def _network(model: nn.Module, inputs: Tensor, sparsity: float) -> dict[str, Network]:
    file: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is the older one
        torch.onnx.export(
            model, (inputs,), file, dynamo=False, opset_version=_OPSET, input_names=["x"], output_names=["y"]
        )
    return {"onnxruntime": Network(_Session(file.getvalue()), inputs)}


class _Session:
    """Calls a model of one input ``x`` and one output, with as many threads as torch has."""

    def __init__(self, model: bytes) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads would otherwise go on spinning during the turns of the others.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self._session.run(None, {"x": x.detach().numpy()})[0])


ONNXRUNTIME = Peer("onnxruntime", ("onnxruntime", "onnx"), layer=_layer, infer=_network, per_sparsity=False)
