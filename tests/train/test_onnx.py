"""ONNX files against ONNX Runtime: convolutions, linear layers, transformers; packed, masked and dense."""

from __future__ import annotations

import copy
import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

import tamis
from tamis.bench._encoder import Encoder
from tamis.errors import UsageError
from tamis.models import create_model
from tamis.nn import is_packed, prunable_modules
from tamis.train import export_model, export_onnx

NETWORKS = {
    "convolutions": lambda: (create_model("resnet8_digits", 5, 1), (1, 8, 8)),
    "depthwise": lambda: (create_model("mobilenet_v1", 5, 3), (3, 32, 32)),
    "linear": lambda: (create_model("mlp", 5, 1, image_size=(8, 8), hidden=(128, 96)), (1, 8, 8)),
    "transformer": lambda: (Encoder(5, blocks=2), (6, 768)),
}


def runtime(file):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install tamis[onnx]")
    pytest.importorskip("onnx", reason="needs onnx: pip install tamis[onnx]")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda **inputs: [torch.from_numpy(np.asarray(out)) for out in session.run(None, inputs)]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A network in eval mode, its input shape, and an optimizer; norms have statistics of their own."""
    pytest.importorskip("onnx", reason="needs onnx: pip install tamis[onnx]")
    torch.manual_seed(0)
    model, shape = NETWORKS[request.param]()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval(), shape


@pytest.mark.parametrize("form", ["packed", "held packed", "held masked", "dense again"])
def test_the_file_answers_as_the_model_does_for_any_batch(network, form, tmp_path):
    model, shape = copy.deepcopy(network[0]), network[1]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = tamis.OneShot(sparsity=0.9, packed=False if form == "held masked" else "auto")
    sparsifier.attach(model, optimizer)
    if not form.startswith("held"):
        sparsifier.finalize()
    if form == "packed":
        tamis.sparsify(model)
    if form in ("packed", "held packed"):
        assert any(is_packed(layer) for layer in prunable_modules(model).values())
    before = copy.deepcopy(model.state_dict())
    file = export_onnx(model, torch.zeros(1, *shape), tmp_path / "m.onnx")
    answer = runtime(file)
    for batch in (1, 3):
        inputs = torch.randn(batch, *shape)
        with torch.no_grad():
            expected = model.eval()(inputs)
        (found,) = answer(images=inputs.numpy())
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_the_zeros_are_in_the_file(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install tamis[onnx]")
    model = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 2))
    tamis.OneShot(sparsity=0.95).attach(model, torch.optim.SGD(model.parameters(), lr=0.1)).finalize()
    export_onnx(tamis.sparsify(model), torch.zeros(1, 100), tmp_path / "m.onnx")
    stored = [onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "m.onnx").graph.initializer]
    zeros = sum(int((array == 0).sum()) for array in stored if array.ndim == 2)
    assert zeros == round(0.95 * (100 * 100 + 2 * 100))


def test_several_inputs_and_open_lengths(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, left, right):
            return self.left(left), self.right(right)

    model = Two().eval()
    pytest.importorskip("onnx", reason="needs onnx: pip install tamis[onnx]")
    examples = (torch.zeros(1, 5, 8), torch.zeros(1, 5, 8))
    axes = {0: "batch", 1: "length"}
    file = export_onnx(model, examples, tmp_path / "m.onnx", inputs=["a", "b"], outputs=["c", "d"], axes=axes)
    a, b = torch.randn(3, 7, 8), torch.randn(3, 7, 8)
    for found, expected in zip(runtime(file)(a=a.numpy(), b=b.numpy()), model(a, b), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)
    with pytest.raises(UsageError, match="2 examples for the inputs"):
        export_onnx(model, examples, tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="2 results for the outputs"):
        export_onnx(model, examples, tmp_path / "m.onnx", inputs=["a", "b"])


def test_a_model_that_returns_no_tensors_is_refused(tmp_path):
    class Named(nn.Linear):
        def forward(self, x):
            return {"logits": super().forward(x)}

    pytest.importorskip("onnx", reason="needs onnx: pip install tamis[onnx]")
    with pytest.raises(UsageError, match=r"returns a dict; .*return_dict = False"):
        export_onnx(Named(2, 2), torch.zeros(1, 2), tmp_path / "m.onnx")


def test_a_model_that_torch_cannot_trace_leaves_no_file(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.eigvals(x)

    pytest.importorskip("onnx", reason="needs onnx: pip install tamis[onnx]")
    with pytest.raises(UsageError, match="cannot write Odd as ONNX"):
        export_onnx(Odd(), torch.eye(3)[None], tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_and_the_function_write_the_same_graph(tmp_path):
    pytest.importorskip("onnx", reason="needs onnx: pip install tamis[onnx]")
    architecture = {"name": "resnet8_digits", "num_classes": 3, "in_channels": 1, "image_size": [8, 8]}
    model = create_model(**architecture).eval()
    one = export_model(model, tmp_path / "one.onnx", "onnx", {"architecture": architecture})
    two = export_onnx(model, torch.zeros(1, 1, 8, 8), tmp_path / "two.onnx")
    assert one.read_bytes() == two.read_bytes()


def test_without_its_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"tamis\[onnx\]"):
        export_onnx(nn.Linear(2, 2), torch.zeros(1, 2), tmp_path / "m.onnx")
