"""Packed layers whose forward pass uses a part of what they store."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from tamis.errors import FileError, UsageError
from tamis.nn import dense_state_dict, densify, fuse, is_packed, load_packed_state, pack_module

# Even kernels with padding="same": torch itself warns that it pads a copy.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

LAYERS = {
    "linear": (lambda: nn.Linear(9, 7), (4, 9)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (3, 4, 11)),
    "conv2d": (lambda: nn.Conv2d(6, 12, 3, stride=2, padding=1, bias=False), (3, 6, 9, 8)),
    "uneven": (lambda: nn.Conv2d(6, 12, (4, 2), padding="same", dilation=(1, 3), groups=2), (2, 6, 9, 11)),
    "reflect": (lambda: nn.Conv2d(6, 12, 3, padding=2, padding_mode="reflect"), (2, 6, 9, 8)),
}


def packed(build):
    layer = build()
    score = torch.rand_like(layer.weight)
    forward, gradient = score > 0.7, score > 0.4
    dense = layer.weight.detach().clone()
    pack_module(layer, gradient, forward)
    return layer, dense, forward, gradient


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)
def test_a_layer_computes_with_one_mask_and_trains_another(build, shape, native, monkeypatch):
    if not native:
        from tamis.kernels import _native

        monkeypatch.setattr(_native, "serves", lambda *args: False)
    layer, dense, forward, gradient = packed(build)
    twin = build()
    twin.load_state_dict({"weight": dense * forward} | ({} if layer.bias is None else {"bias": layer.bias.detach()}))
    x = torch.randn(shape, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    y, expected = layer(x), twin(other)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad, other.grad, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(layer.weight.grad, layer.pattern.pack(twin.weight.grad), rtol=1e-5, atol=1e-4)
    assert torch.equal(layer.dense_weight(), dense * forward)
    assert layer.weight.shape == (int(gradient.sum()),)
    assert f"live={int(forward.sum())}/" in repr(layer)


def test_unpacking_leaves_a_layer_that_computes_the_same():
    layer, dense, forward, gradient = packed(LAYERS["conv2d"][0])
    x = torch.randn(3, 6, 9, 8)
    before = layer(x)
    before.square().sum().backward()
    grad = layer.pattern.unpack(layer.weight.grad)
    densify(layer)
    assert torch.equal(layer.weight, dense * forward)
    assert torch.equal(layer.weight.grad, grad)
    torch.testing.assert_close(layer(x), before, rtol=1e-5, atol=1e-5)
    assert not is_packed(layer)
    assert not {"inner", "pattern"} & set(vars(layer))
    pack_module(layer, gradient)
    assert layer.inner is None
    assert torch.equal(layer.dense_weight(), dense * forward)


def test_the_state_is_that_of_the_forward_pass_and_loading_keeps_the_rest():
    layer, dense, forward, _ = packed(LAYERS["conv2d"][0])
    state = layer.state_dict()
    assert list(state) == ["values", "indices", "row_ptr"]
    assert torch.equal(state["values"], dense[forward])
    assert torch.equal(dense_state_dict(nn.Sequential(layer))["0.weight"], dense * forward)
    assert torch.equal(load_packed_state(LAYERS["conv2d"][0](), state).dense_weight(), dense * forward)
    before = layer.weight.detach().clone()
    for stored in ({key: value.clone() for key, value in state.items()}, {"weight": dense * forward}):
        scale = "values" if "values" in stored else "weight"
        layer.load_state_dict({**stored, scale: stored[scale] * 2})
        among = layer.inner.among(layer.pattern)
        assert torch.equal(layer.weight[among], before[among] * 2)
        assert torch.equal(layer.weight[~among], before[~among])
    with pytest.raises(FileError, match="outside the layer's support"):
        layer.load_state_dict({"weight": dense})


def test_copies_and_pickles_are_whole():
    layer, _, _, _ = packed(LAYERS["conv2d"][0])
    x = torch.randn(3, 6, 9, 8)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        assert twin.inner is not layer.inner
        assert torch.equal(twin.inner.positions, layer.inner.positions)


def test_a_fused_norm_folds_the_weights_of_the_forward_pass():
    net = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    for step in range(3):
        net(torch.randn(8, 4, 6, 6) + step)
    score = torch.rand_like(net[0].weight)
    plain = copy.deepcopy(net)
    with torch.no_grad():
        plain[0].weight.mul_(score > 0.7)
    pack_module(net[0], score > 0.4, score > 0.7)
    fuse(net)
    x = torch.randn(16, 4, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), plain.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_compiled_layer_equals_eager(backend):
    torch._dynamo.reset()
    layer, *_ = packed(LAYERS["conv2d"][0])
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    x = torch.randn(3, 6, 9, 8, requires_grad=True)
    results = []
    for run in (compiled, layer):
        x.grad = layer.weight.grad = None
        y = run(x)
        y.square().sum().backward()
        results.append((y.detach(), x.grad, layer.weight.grad))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    torch._dynamo.reset()


def test_a_forward_mask_outside_the_gradient_mask_is_refused_and_the_layer_stays_dense():
    layer = nn.Linear(4, 3)
    with pytest.raises(UsageError, match="outside the gradient mask"):
        pack_module(layer, torch.eye(3, 4) > 0, torch.ones(3, 4) > 0)
    assert not is_packed(layer)
