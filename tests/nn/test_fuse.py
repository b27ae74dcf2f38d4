"""Fusing a model's blocks: what it changes (speed, print) and what it must not (everything else)."""

from __future__ import annotations

import copy
import io
import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.kernels import PackedPattern, to_batch_last
from tamis.models import create_model
from tamis.nn import densify, fuse, is_packed, prunable_modules, sparsify, unfuse


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


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return create_model(name, num_classes=7, in_channels=3).train()


def step(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Logits, gradients and running statistics of one forward and backward pass."""
    y = model(x)
    y.square().mean().backward()
    found = {"logits": y.detach(), **{name: p.grad for name, p in model.named_parameters() if p.grad is not None}}
    return found | {name: b.clone() for name, b in model.named_buffers()}


def error(got: Tensor, exact: Tensor) -> float:
    got, exact = got.detach(), exact.detach()
    return float((got.double() - exact.double()).abs().max() / exact.double().abs().max().clamp(min=1e-12))


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
    assert fused.__dict__["forward"].chains == ("conv1 bn1 relu", "conv2 bn2 add relu")
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


@pytest.mark.parametrize("format", ["NCHW", "batch-last", "channels_last"])
@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v1"])
def test_inference_folds_norms_and_equals_float64(name, batch, format):
    model = network(name)
    for module in model.modules():  # statistics, scales and shifts that are not the initial ones
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5), nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5), nn.init.uniform_(module.bias, -0.5, 0.5)
    layers = list(prunable_modules(model).items())[1:]
    masks = {n: torch.rand(layer.weight.shape) < 0.2 for n, layer in layers if layer.__dict__.get("groups", 1) == 1}
    twin = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for n, mask in masks.items():
            dict(twin.named_modules())[n].weight.mul_(mask)
    sparsify(model, masks).eval()
    x = torch.randn(batch, 3, 32, 32)
    given = to_batch_last(x) if format == "batch-last" else x
    given = x.to(memory_format=torch.channels_last) if format == "channels_last" else given
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert error(model(given), twin(x.double())) < 1e-5
    assert error(model(given), twin(x.double())) < 1e-5  # with gradients nothing is folded


def test_folded_weights_follow_every_change():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()).eval()
    sparsify(block, {"0": torch.rand(8, 8, 3, 3) < 0.3})
    x = torch.randn(2, 8, 5, 5)

    def check() -> None:
        conv, bn, act = block
        with torch.no_grad():
            assert error(block(x), act(bn(conv(x)))) < 1e-5

    check()
    with torch.no_grad():
        block[0].weight.mul_(2), check()
        block[0].bias.add_(1), check()
        block[1].running_var.mul_(3), check()
        block[1].weight.mul_(-1), check()
    block.train()(x)
    block.eval()
    check()
    state = {k: v + 0.1 if v.is_floating_point() else v for k, v in block.state_dict().items()}
    block.load_state_dict(state)
    check()


def test_a_folded_stem_follows_every_change():
    torch.manual_seed(0)
    stem = fuse(
        nn.Sequential(nn.Conv2d(3, 8, 7, 2, padding=3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    ).eval()
    x = torch.randn(1, 3, 33, 30)

    def check() -> None:
        conv, bn, act, pool = stem
        with torch.no_grad():
            assert error(stem(x), pool(act(bn(conv(x))))) < 1e-5

    check()
    with torch.no_grad():
        stem[0].weight.mul_(2), check()
        stem[0].bias.add_(1), check()
        stem[1].running_mean.add_(0.5), check()
        stem[1].weight.mul_(-1), check()


def small_block():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()).eval()
    return sparsify(block, {"0": torch.rand(64, 64, 3, 3) < 0.3})


def assert_folded_equals_modules(block, x):
    y = x
    with torch.no_grad():
        for module in block:
            y = module(y)
        assert error(block(x), y) < 1e-5


def test_a_replaced_weight_in_the_memory_of_an_older_one_is_noticed():
    block, x = small_block(), torch.randn(2, 64, 8, 8)
    assert_folded_equals_modules(block, x)
    for _ in range(6):
        for _ in range(2):  # the allocator gives the second one the memory of the weight that was folded
            block[0].weight = nn.Parameter(torch.randn(block[0].weight.shape))
        assert_folded_equals_modules(block, x)


def test_weights_that_a_call_brings_along_are_noticed():
    block, x = small_block(), torch.randn(2, 64, 8, 8)
    for _ in range(6):
        others = {name: torch.rand(p.shape) for name, p in block.named_parameters()}
        wanted = torch.func.functional_call(block, others, (x,))  # with gradients nothing is folded
        with torch.no_grad():
            assert error(torch.func.functional_call(block, others, (x,)), wanted) < 1e-5
        del others, wanted


def test_a_new_mask_over_the_same_weights_is_noticed():
    block, x = small_block(), torch.randn(2, 64, 8, 8)
    assert_folded_equals_modules(block, x)
    rows = PackedPattern.from_mask(block[0].pattern.mask().flip(1))
    other = PackedPattern.from_arrays(rows.shape, rows.row_ptr, rows.indices)
    if other.nnz != block[0].pattern.nnz:
        pytest.fail("the flipped mask has as many live weights")
    block[0].pattern = other
    assert_folded_equals_modules(block, x)


@pytest.mark.parametrize("change", ["densify", "double", "threads"])
def test_a_prepared_layer_survives_what_happens_to_a_model(change):
    block, x = small_block(), torch.randn(2, 64, 8, 8)
    assert_folded_equals_modules(block, x)
    assert_folded_equals_modules(block, x)  # prepared by now
    if change == "densify":
        densify(block)
        assert_folded_equals_modules(block, x)
        sparsify(block, {"0": torch.rand(64, 64, 3, 3) < 0.1})
    elif change == "double":
        block.double()
        assert_folded_equals_modules(block, x.double())
        with torch.no_grad(), pytest.raises(UsageError, match="float32"):
            block(x)
        block.float()
    else:
        shapes = [(n, 64, h, w) for n in (1, 2) for h in (1, 7) for w in (3, 8)]
        wrong = []

        def work(seed):
            torch.set_num_threads(1)
            generator = torch.Generator().manual_seed(seed)
            for _ in range(10):
                for shape in shapes:
                    picture = torch.randn(shape, generator=generator)
                    conv, bn, act = block
                    with torch.no_grad():
                        if error(block(picture), act(bn(conv(picture)))) >= 1e-5:
                            wrong.append(shape)

        crew = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        assert not wrong
    assert_folded_equals_modules(block, x)


def test_a_prepared_layer_refuses_what_the_first_call_would_have_refused():
    block, x = small_block(), torch.randn(2, 64, 8, 8)
    with torch.no_grad():
        block(x), block(x)
        for wrong in (torch.randn(2, 63, 8, 8), torch.randn(2, 65, 8, 8)):
            with pytest.raises(UsageError, match="expected"):
                block(wrong)
        with pytest.raises(UsageError, match="float"):
            block(x.double())
        block[0].weight = nn.Parameter(block[0].weight[:-1].clone())  # one weight less than the pattern says
        with pytest.raises((UsageError, RuntimeError)):
            block(x)


def test_gradients_come_back_after_inference():
    block, x = small_block(), torch.randn(2, 64, 8, 8, requires_grad=True)
    with torch.no_grad():
        block(x), block(x)
    block(x).sum().backward()
    assert x.grad is not None
    assert block[0].weight.grad is not None


def test_a_model_made_in_inference_mode_follows_every_change():
    with torch.inference_mode():
        block, x = small_block(), torch.randn(2, 64, 8, 8)
        assert_folded_equals_modules(block, x)
        block[0].weight.mul_(2)
        assert_folded_equals_modules(block, x)
        block[1].bias.add_(1)
        assert_folded_equals_modules(block, x)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(3, 2, 1), nn.LPPool2d(1, 3, 2), nn.Identity()])
def test_the_activation_of_a_folded_stem_stays_before_other_pools(pool):
    torch.manual_seed(0)
    stem = fuse(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))).eval()
    x = torch.randn(1, 3, 17, 18)
    assert_folded_equals_modules(stem, x)
    stem[3] = pool
    assert_folded_equals_modules(stem, x)


def test_a_folded_layer_takes_inputs_of_several_sizes_and_repeats_itself():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(8, 8, 3, 2, padding=1), nn.BatchNorm2d(8), nn.ReLU()).eval()
    sparsify(block, {"0": torch.rand(8, 8, 3, 3) < 0.3})
    inputs = [torch.randn(1, 8, size, 20) for size in (5, 14, 31)]
    with torch.inference_mode():
        first = [block(x) for x in inputs]
        for x, y in zip(inputs, first, strict=True):
            assert torch.equal(block(x), y)
            conv, bn, act = block
            assert error(y, act(bn(conv(x)))) < 1e-5


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
    chains = fused.layer1[0].__dict__["forward"].chains
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
