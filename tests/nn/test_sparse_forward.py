"""Dense layers that compute with their live weights and get gradients for all of them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from tamis.errors import UsageError
from tamis.kernels import native_available
from tamis.nn import can_compute_sparsely, compute_densely, compute_sparsely, computes_sparsely


def dilated(conv):
    """As DeepLab does to the layers of a ResNet."""
    conv.dilation = conv.padding = (2, 2)
    return conv


LAYERS = {
    "linear": (lambda: nn.Linear(24, 16), (5, 24)),
    "linear on sequences": (lambda: nn.Linear(24, 16, bias=False), (2, 5, 24)),
    "conv": (lambda: nn.Conv2d(4, 8, 3, padding=1), (3, 4, 6, 7)),
    "strided": (lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False), (3, 4, 7, 6)),
    "grouped and dilated": (lambda: nn.Conv2d(4, 8, 3, groups=2, dilation=2), (3, 4, 8, 8)),
    "same": (lambda: nn.Conv2d(4, 8, (3, 1), padding="same"), (3, 4, 5, 5)),
    "reflected": (lambda: nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), (3, 4, 5, 5)),
    "dilated since": (lambda: dilated(nn.Conv2d(4, 8, 3, padding=1)), (3, 4, 7, 7)),
    "one picture": (lambda: nn.Conv2d(4, 8, 3), (4, 6, 6)),
}


def pair_of(name):
    """A layer with zeros, a sparse twin of it, its mask, and an input."""
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make()
    mask = torch.rand(layer.weight.shape) < 0.3
    with torch.no_grad():
        layer.weight.masked_fill_(~mask, 0.0)
    twin = copy.deepcopy(layer)
    compute_sparsely(twin, mask)
    return layer, twin, mask, torch.randn(shape)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_results_and_all_gradients_are_those_of_the_dense_layer(name, native, monkeypatch):
    if not native:
        from tamis.kernels import _native

        monkeypatch.setattr(_native, "serves", lambda *args: False)
    layer, twin, mask, x = pair_of(name)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    results = [one(i) for one, i in zip((layer, twin), inputs, strict=True)]
    upstream = torch.randn(results[0].shape)
    for result in results:
        result.backward(upstream)
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(twin.weight.grad, layer.weight.grad, rtol=1e-5, atol=1e-5)
    assert bool(twin.weight.grad[~mask].any())
    if layer.bias is not None:
        torch.testing.assert_close(twin.bias.grad, layer.bias.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not native_available(), reason="the native kernels are switched off or were not built")
def test_the_forward_pass_really_reads_the_live_weights_alone():
    _, twin, mask, x = pair_of("conv")
    before = twin(x)
    with torch.no_grad():
        twin.weight[~mask] = 7.0
    assert torch.equal(twin(x), before)


@pytest.mark.parametrize("name", ["linear", "conv"])
def test_a_frozen_weight_and_a_frozen_input_are_fine(name):
    layer, twin, _, x = pair_of(name)
    twin.weight.requires_grad_(False)
    y = x.clone().requires_grad_()
    twin(y).sum().backward()
    assert twin.weight.grad is None
    assert y.grad is not None
    twin.weight.requires_grad_(True)
    twin(x).sum().backward()
    layer(x).sum().backward()
    torch.testing.assert_close(twin.weight.grad, layer.weight.grad, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert not twin(x).requires_grad


def test_an_activation_in_place_may_follow():
    layer, twin, _, x = pair_of("conv")
    for one in (layer, twin):
        nn.Sequential(one, nn.ReLU(inplace=True))(x).sum().backward()
    torch.testing.assert_close(twin.weight.grad, layer.weight.grad, rtol=1e-5, atol=1e-5)


def test_under_autocast_the_layer_stays_float32():
    _, twin, _, x = pair_of("linear")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = twin(x.bfloat16())
    assert y.dtype == torch.float32
    y.sum().backward()
    assert twin.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("name", ["linear", "conv"])
def test_copies_pickles_and_states_are_those_of_a_plain_layer(name):
    layer, twin, _, x = pair_of(name)
    assert list(twin.state_dict()) == list(layer.state_dict())
    for one in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        assert type(one) is type(layer)
        assert "pattern" not in one.__dict__
        assert torch.equal(one.weight, layer.weight)
        assert torch.equal(one(x), layer(x))


def test_the_change_can_be_undone_and_renewed():
    layer, twin, mask, x = pair_of("conv")
    weight = twin.weight
    compute_sparsely(twin, mask.logical_not())
    assert int(twin.pattern.nnz) == int((~mask).sum())
    compute_densely(twin)
    compute_densely(twin)
    assert type(twin) is nn.Conv2d
    assert twin.weight is weight
    assert not computes_sparsely(twin)
    assert torch.equal(twin(x), layer(x))


def test_other_modules_and_masks_are_refused():
    class Mine(nn.Linear):
        pass

    for module in (Mine(4, 4), nn.Conv1d(2, 2, 3), nn.Linear(4, 4, dtype=torch.float64), nn.ReLU()):
        assert not can_compute_sparsely(module)
        with pytest.raises(UsageError, match="cannot compute sparsely"):
            compute_sparsely(module, torch.ones(4, 4) > 0)
    with pytest.raises(UsageError, match=r"mask of shape \(3, 4\)"):
        compute_sparsely(nn.Linear(4, 4), torch.ones(3, 4) > 0)
