"""Inference with folded norms: equal to the modules one after the other, whatever happens to them in between."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from tamis.errors import UsageError
from tamis.kernels import PackedPattern, choices, to_batch_last
from tamis.nn import densify, fuse, prunable_modules, sparsify

from .networks import error, network


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


@pytest.mark.parametrize(
    ("make", "packed"),
    [
        (lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()), True),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), False),
    ],
    ids=["packed", "stem"],
)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adagrad])
def test_folded_weights_follow_fused_optimizers_which_raise_no_version(make, packed, optimizer):
    model = make().eval()  # statistics stay as they are
    x = torch.randn(2, model[0].in_channels, 9, 8)
    sparsify(model, {"0": torch.rand(model[0].weight.shape) < 0.3}) if packed else fuse(model)
    fused = optimizer(model.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        model(x).square().sum().backward()
        assert_folded_equals_modules(model, x)  # folded after the call with gradients and before the step
        version = model[0].weight._version
        fused.step()
        assert model[0].weight._version == version
        assert_folded_equals_modules(model, x)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_a_call_of_a_training_step_forgets_what_was_folded(mode):
    block, x = small_block(), torch.randn(2, 64, 8, 8)
    assert_folded_equals_modules(block, x)
    getattr(block, mode)()
    with torch.set_grad_enabled(mode == "eval"):
        block(x)
    block.eval()
    block[0].weight.data.mul_(2)  # as optimizers of others do; torch does not count it
    assert_folded_equals_modules(block, x)


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


class Added(nn.Module):
    """A convolution and a norm, something added, and an activation."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x, other):
        return torch.relu(self.bn(self.conv(x)) + other)


ADDED = {
    "channels": (4, 8, 1, 1), "pictures": (1, 8, 6, 6), "channels of all": (8, 1, 1), "row": (6,), "number": (),
    "more pictures than the result": (4, 8, 6, 6), "a dimension more": (2, 1, 8, 6, 6),
}  # fmt: skip


@pytest.mark.parametrize("format", ["NCHW", "batch-last", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("shape", ADDED.values(), ids=ADDED)
def test_what_is_added_is_broadcast_as_in_dense_torch(shape, dtype, format, monkeypatch):
    model = Added().eval()
    mask = torch.rand(8, 8, 3, 3) < 0.3
    with torch.no_grad():
        model.conv.weight.mul_(mask)
    dense = copy.deepcopy(model)
    sparsify(model, {"conv": mask})
    other = torch.randn(shape).mul(3).to(dtype)
    for mode in ("sparse", "dense", "measure"):
        monkeypatch.setattr(choices, "mode", mode)
        for batch in (1, 4) if shape[:2] in ((4, 8), ()) else (4,):
            x = torch.randn(batch, 8, 6, 6)
            x = to_batch_last(x) if format == "batch-last" else x
            x = x.contiguous(memory_format=torch.channels_last) if format == "channels_last" else x
            with torch.no_grad():
                expected = dense(x, other)
                for _ in range(2):
                    y = model(x, other)
                    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
                    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_added_is_refused_as_in_dense_torch():
    model = sparsify(Added(), {"conv": torch.rand(8, 8, 3, 3) < 0.3}).eval()
    with torch.no_grad(), pytest.raises(RuntimeError, match="must match the size of tensor b"):
        model(torch.randn(4, 8, 6, 6), torch.randn(4, 8, 5, 6))


@pytest.mark.parametrize("mode", ["sparse", "dense", "measure"])
def test_under_autocast_nothing_is_folded_and_the_layer_computes_float32(mode, monkeypatch):
    monkeypatch.setattr(choices, "mode", mode)
    block, x = small_block(), torch.randn(2, 64, 8, 8)
    with torch.no_grad():
        block(x)
        for given in (x, x.bfloat16()):
            with torch.autocast("cpu", torch.bfloat16):
                conv, bn, act = block
                y, expected = block(given), act(bn(conv(given)))
            assert y.dtype == expected.dtype == torch.float32
            assert torch.equal(y, expected)


def test_inference_mode_before_training_leaves_nothing_behind_that_training_refuses():
    block, x = copy.deepcopy(small_block()), torch.randn(2, 64, 8, 8)
    with torch.inference_mode():
        block(x)
        block[0].dense_weight()
        block[0].pattern.mask()
    block.train()(x).square().sum().backward()
    block[0].dense_weight().sum().backward()
    block.double()(x.double()).square().sum().backward()
    assert block[0].weight.grad is not None
