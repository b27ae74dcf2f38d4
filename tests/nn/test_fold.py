"""Inference with folded norms: equal to the modules one after the other, whatever happens to them in between."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from tamis.errors import UsageError
from tamis.kernels import PackedPattern, to_batch_last
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
