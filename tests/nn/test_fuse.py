"""Fusing a model's blocks: what it changes (speed, print) and what it must not (everything else)."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.kernels import to_batch_last
from tamis.models import create_model
from tamis.nn import densify, fuse, is_packed, prunable_modules, sparsify, unfuse

from .networks import error, network


class TorchvisionBlock(nn.Module):
    """The in-place style of torchvision: one ReLU module used twice, ``out += identity``."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class DataDependent(TorchvisionBlock):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


class KeepsTheNorm(TorchvisionBlock):
    """The norm's result has a second user, so nothing may be fused into it."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.bn1(self.conv1(x))
        return F.relu(z) + z


def step(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Logits, gradients and running statistics of one forward and backward pass."""
    y = model(x)
    y.square().mean().backward()
    found = {"logits": y.detach(), **{name: p.grad for name, p in model.named_parameters() if p.grad is not None}}
    return found | {name: b.clone() for name, b in model.named_buffers()}


def close(a: Tensor, b: Tensor, relative: float) -> bool:
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).abs().max()) <= relative * max(1.0, float(b.abs().max()))


def error_of_gradients(got: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    keys = [key for key in exact if key != "logits" and exact[key].numel() > 1]
    return max(float((got[k].double() - exact[k]).norm() / exact[k].norm().clamp(min=1e-12)) for k in keys)


@pytest.mark.parametrize("format", ["NCHW", "batch-last"])
@pytest.mark.parametrize("name", ["resnet18", "resnet20", "resnet50", "mobilenet_v1"])
def test_a_network_is_as_near_to_float64_as_without_fusing(name, format):
    # Deep networks amplify rounding, so the yardstick is how far torch itself is from float64.  Where an activation is
    # zero but for rounding, its gradient is there or not; that hits either side by chance, so the best of three counts.
    ours, torchs = [], []
    for seed in range(3):
        x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        fused = fuse(network(name))
        assert "fused=(" in repr(fused)
        exact, plain = step(network(name).double(), x.double()), step(network(name), x)
        found = step(fused, to_batch_last(x) if format == "batch-last" else x)
        assert list(found) == list(plain)
        assert error(found["logits"], exact["logits"]) <= 5 * error(plain["logits"], exact["logits"]) + 1e-6
        ours.append(error_of_gradients(found, exact))
        torchs.append(error_of_gradients(plain, exact))
    assert min(ours) <= 5 * min(torchs) + 1e-6
    fused.eval()
    with torch.inference_mode():
        wanted = network(name).double()
        wanted.load_state_dict(fused.state_dict())
        assert error(fused(x), wanted.eval()(x.double())) < 1e-4


def test_running_statistics_equal_those_of_torch():
    x = torch.randn(8, 8, 6, 6)
    plain = TorchvisionBlock()
    plain.bn1.momentum = None  # a cumulative average
    fused = fuse(copy.deepcopy(plain))
    for _ in range(3):
        plain(x), fused(x)
    for key, value in plain.state_dict().items():
        assert close(fused.state_dict()[key], value, 1e-6), key
    assert int(fused.bn1.num_batches_tracked) == 3


@pytest.mark.parametrize("format", ["NCHW", "batch-last"])
def test_the_in_place_style_of_torchvision(format):
    x = torch.randn(16, 8, 6, 6)
    plain = TorchvisionBlock()
    fused = fuse(copy.deepcopy(plain))
    assert fused._fused.chains == ("conv1 bn1 relu", "conv2 bn2 add relu")
    given = to_batch_last(x) if format == "batch-last" else x
    a, b = given.detach().clone().requires_grad_(), x.clone().requires_grad_()
    y, wanted = fused(a), plain(b)
    assert close(y, wanted.detach(), 1e-5)
    y.square().sum().backward(), wanted.square().sum().backward()
    assert close(a.grad, b.grad, 1e-4)
    assert torch.equal(given, a.detach()), "the input was changed in place"


def test_what_cannot_be_fused_is_left_alone():
    for block in (DataDependent(), KeepsTheNorm()):
        x = torch.randn(4, 8, 5, 5)
        wanted = copy.deepcopy(block)(x)
        assert close(fuse(block)(x), wanted.detach(), 1e-6)
    assert "fused" not in repr(fuse(DataDependent()))


def test_hooks_are_still_called():
    block, seen = TorchvisionBlock(), []
    block.bn1.register_forward_hook(lambda *_: seen.append("before"))
    fuse(block)
    block.conv2.register_forward_hook(lambda *_: seen.append("after"))
    block.bn2.register_forward_hook(lambda *_: seen.append("norm"))
    block(torch.randn(2, 8, 4, 4))
    assert seen == ["before", "after", "norm"]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v1"])
def test_fusing_and_undoing_leave_modules_names_and_state(name):
    model = network(name)
    modules, classes = dict(model.named_modules()), {n: type(m) for n, m in model.named_modules()}
    text, state, attributes = repr(model), {k: v.clone() for k, v in model.state_dict().items()}, set(vars(model))
    fuse(model)
    assert list(dict(model.named_modules())) == list(modules)
    assert list(model.state_dict()) == list(state)
    unfuse(model)
    assert repr(model) == text
    assert set(vars(model)) == attributes
    assert all(dict(model.named_modules())[n] is m and type(m) is classes[n] for n, m in modules.items())
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_sparsify_fuses_and_densify_undoes_it():
    model = network("resnet18")
    text = repr(model)
    masks = {n: torch.rand(layer.weight.shape) < 0.1 for n, layer in list(prunable_modules(model).items())[1:]}
    sparsify(model, masks)
    assert "fused=(conv1 bn1 relu" in repr(model)
    assert repr(densify(model)) == text
    assert "fused" not in repr(sparsify(network("resnet18"), masks, fuse=False))


def test_depthwise_layers_are_packed_whole_beside_sparse_ones():
    model = network("mobilenet_v1")
    masks = {
        n: torch.rand(layer.weight.shape) < 0.1
        for n, layer in prunable_modules(model).items()
        if layer_is_pointwise(layer)
    }
    twin = copy.deepcopy(model)
    for name, mask in masks.items():
        dict(twin.named_modules())[name].weight.data.mul_(mask)
    sparsify(model, masks)
    depthwise = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert depthwise
    assert all(is_packed(m) and m.pattern.sparsity == 0 for m in depthwise)
    model.eval(), twin.eval()
    x = torch.randn(16, 3, 32, 32)
    with torch.inference_mode():
        assert error(model(x), twin.double()(x.double())) < 1e-4
    assert not any(is_packed(m) for m in densify(model).modules())
    plain = sparsify(network("mobilenet_v1"), masks, fuse=False)
    assert not any(is_packed(m) for m in plain.modules() if isinstance(m, nn.Conv2d) and m.groups > 1)


def layer_is_pointwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)


def test_copies_are_independent():
    model = fuse(network("resnet20"))
    x = torch.randn(4, 3, 32, 32)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert float(twin(x).detach().abs().max()) == 0.0
    assert float(model(x).detach().abs().max()) > 0.0
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    restored = torch.load(buffer, weights_only=False)
    model.eval(), restored.eval()
    assert torch.equal(model(x), restored(x))


def test_a_changed_child_is_noticed():
    block = fuse(TorchvisionBlock()).eval()
    x = torch.randn(2, 8, 4, 4)
    block.bn1 = nn.Identity()
    block.bn2 = nn.Identity()
    assert close(block(x), F.relu(block.conv2(F.relu(block.conv1(x))) + x).detach(), 1e-6)


def test_a_shortcut_leaves_the_addition_to_the_norm_that_stands_before_it():
    model = create_model("resnet50", 10).eval()
    fused = fuse(model)
    chains = fused.layer1[0]._fused.chains
    assert "downsample.0 downsample.1" in chains
    assert "conv3 bn3 add relu" in chains


@pytest.mark.parametrize("batch", [1, 16])
def test_a_stem_is_the_same_with_channels_innermost_up_to_its_pool(batch):
    torch.manual_seed(0)
    stem = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, padding=3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    )
    twin = copy.deepcopy(stem)
    fused = fuse(stem)
    x = torch.randn(batch, 3, 33, 30)
    y, expected = fused(x), twin(x)
    torch.testing.assert_close(y, expected)
    grad = torch.randn_like(expected)
    y.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(fused[0].weight.grad, twin[0].weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fused[1].running_var, twin[1].running_var)
    assert batch % 16 == 0 or y.is_contiguous()
