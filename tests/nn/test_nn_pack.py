"""Packing one layer in place and back: nothing is lost, nothing else notices."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tamis.errors import UsageError
from tamis.nn import SparseConv2d, SparseLinear, can_pack, is_packed, pack_module, unpack_module, worth_packing
from tamis.nn._layers import DENSE_OF

LAYERS = {
    "linear": lambda: nn.Linear(9, 7),
    "conv1d": lambda: nn.Conv1d(4, 6, 3),
    "conv2d": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "channels_last": lambda: nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last),
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def layer(request):
    return request.param()


def mask_of(layer, keep=0.4):
    return torch.rand(layer.weight.shape) < keep


def test_a_round_trip_is_exact_to_the_bit_with_zeros_elsewhere(layer):
    before, mask, kind = layer.weight.detach().clone(), mask_of(layer), type(layer)
    pack_module(layer, mask)
    assert is_packed(layer)
    unpack_module(layer)
    assert type(layer) is kind
    assert not is_packed(layer)
    assert not hasattr(layer, "pattern")
    assert torch.equal(layer.weight, torch.where(mask, before, 0.0))


def test_special_floats_survive(layer):
    special = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    with torch.no_grad():
        layer.weight.reshape(-1)[:4] = special if layer.weight.is_contiguous() else 0
    before = layer.weight.detach().clone()
    pack_module(layer, torch.ones(layer.weight.shape, dtype=torch.bool))
    unpack_module(layer)
    assert torch.equal(layer.weight.contiguous().view(torch.int32), before.contiguous().view(torch.int32))


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_layers_with_no_or_every_weight_alive(layer, keep):
    before = layer.weight.detach().clone()
    pattern = pack_module(layer, mask_of(layer, keep))
    assert pattern.nnz == (before.numel() if keep else 0)
    unpack_module(layer)
    assert torch.equal(layer.weight, before * keep)


def test_the_parameter_object_stays_in_the_optimizer(layer):
    parameter = layer.weight
    optimizer = torch.optim.SGD(layer.parameters(), 0.5)
    pattern = pack_module(layer, mask_of(layer))
    assert layer.weight is parameter
    assert optimizer.param_groups[0]["params"][0] is parameter
    assert dict(layer.named_parameters())["weight"] is parameter
    assert tuple(parameter.shape) == (pattern.nnz,)
    before = parameter.detach().clone()
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert torch.equal(parameter.detach(), before - 0.5)
    unpack_module(layer)
    assert layer.weight is parameter


def test_gradients_are_packed_and_unpacked_too(layer):
    grad, mask = torch.randn(layer.weight.shape), mask_of(layer)
    layer.weight.grad = grad.clone()
    pattern = pack_module(layer, mask)
    assert torch.equal(layer.weight.grad, pattern.pack(grad))
    unpack_module(layer)
    assert torch.equal(layer.weight.grad, torch.where(mask, grad, 0.0))


def inputs_of(layer):
    return torch.randn(
        {nn.Linear: (3, 9), nn.Conv1d: (3, 4, 8), nn.Conv2d: (3, 4, 8, 8)}[DENSE_OF.get(type(layer), type(layer))]
    )


def test_an_old_graph_that_is_still_alive_does_not_disturb_new_gradients(layer):
    """A loss that a user keeps for printing keeps its graph, and with it torch's gradient accumulator."""
    kept = layer(inputs_of(layer)).sum()
    kept.backward(retain_graph=True)
    pattern = pack_module(layer, mask_of(layer))
    layer.weight.grad = None
    again = layer(inputs_of(layer)).sum()
    again.backward()
    assert tuple(layer.weight.grad.shape) == (pattern.nnz,)
    unpack_module(layer)
    layer.weight.grad = None
    layer(inputs_of(layer)).sum().backward()
    assert layer.weight.grad.shape == layer.weight.shape
    assert kept.grad_fn is not None
    assert again.grad_fn is not None


def test_hooks_and_attributes_survive_the_change_of_class(layer):
    calls = []
    layer.register_forward_hook(lambda *_: calls.append("after"))
    layer.register_forward_pre_hook(lambda *_: calls.append("before"))
    layer.note = "mine"
    pack_module(layer, mask_of(layer))
    layer(inputs_of(layer))
    assert calls == ["before", "after"]
    unpack_module(layer)
    layer(inputs_of(layer))
    assert calls == ["before", "after"] * 2
    assert len(layer._forward_pre_hooks) == 1, "packing leaves no hook of its own behind"
    assert layer.note == "mine"


def test_requires_grad_and_training_mode_survive(layer):
    layer.eval()
    layer.weight.requires_grad_(False)
    pack_module(layer, mask_of(layer))
    assert not layer.weight.requires_grad
    assert not layer.training
    unpack_module(layer)
    assert not layer.weight.requires_grad


def test_a_deep_copy_is_independent(layer):
    pack_module(layer, mask_of(layer))
    other = copy.deepcopy(layer)
    x = inputs_of(layer)
    assert torch.equal(other(x), layer(x))
    with torch.no_grad():
        other.weight.add_(1)
    assert not torch.equal(other(x), layer(x))
    unpack_module(other)
    assert is_packed(layer)
    assert not is_packed(other)
    layer(x)


def test_a_mask_may_change_while_the_optimizer_keeps_its_state():
    layer = nn.Linear(6, 5)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    twin, twin_optimizer = nn.Linear(6, 5), None
    twin.load_state_dict(layer.state_dict())
    twin_optimizer = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9)
    for round_number in range(3):
        mask = torch.rand(5, 6) > 0.5
        pattern = pack_module(layer, mask)
        state = optimizer.state[layer.weight]
        if state:
            state["momentum_buffer"] = pattern.pack(state["momentum_buffer"])
            twin_optimizer.state[twin.weight]["momentum_buffer"].mul_(mask)
        with torch.no_grad():
            twin.weight.mul_(mask)
        for _ in range(3):
            x = torch.randn(4, 6)
            for net, steps in ((layer, optimizer), (twin, twin_optimizer)):
                steps.zero_grad()
                net(x).square().sum().backward()
                if net is twin:
                    twin.weight.grad.mul_(mask)
                steps.step()
        state = optimizer.state[layer.weight]
        state["momentum_buffer"] = pattern.unpack(state["momentum_buffer"])
        unpack_module(layer)
        torch.testing.assert_close(layer.weight, twin.weight, rtol=1e-5, atol=1e-6, msg=f"round {round_number}")


def test_what_cannot_be_packed_is_refused_and_left_alone():
    class Mine(nn.Linear):
        pass

    for module in (Mine(4, 3), nn.BatchNorm2d(4), nn.Embedding(4, 3), nn.Linear(4, 3).double(),
                   nn.LazyLinear(3), nn.ConvTranspose2d(4, 3, 1), nn.MultiheadAttention(4, 2).out_proj):  # fmt: skip
        kind = type(module)
        assert not can_pack(module)
        with pytest.raises(UsageError, match="cannot pack"):
            pack_module(module, torch.ones(3, 4, dtype=torch.bool))
        assert type(module) is kind
    layer = nn.Linear(4, 3)
    for mask in (torch.ones(4, 3, dtype=torch.bool), torch.ones(3, 4), torch.ones(12, dtype=torch.bool)):
        with pytest.raises(UsageError, match="mask"):
            pack_module(layer, mask)
        assert type(layer) is nn.Linear
        assert tuple(layer.weight.shape) == (3, 4)
    pack_module(layer, torch.eye(3, 4) > 0)
    assert type(layer) is SparseLinear
    with pytest.raises(UsageError, match="packed already"):
        pack_module(layer, torch.eye(3, 4) > 0)
    unpack_module(layer)
    with pytest.raises(UsageError, match="is not packed"):
        unpack_module(layer)


def test_a_weight_that_two_modules_share_cannot_be_packed_within_their_model():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert can_pack(model[0])
    assert not can_pack(model[0], within=model)
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5)})
    model["head"].weight = model["embed"].weight
    assert not can_pack(model["head"], within=model)


def test_memory_is_proportional_to_live_weights():
    layer = nn.Conv2d(64, 64, 3, bias=False)
    pack_module(layer, torch.rand(layer.weight.shape) < 0.05)
    assert layer.weight.untyped_storage().nbytes() == 4 * layer.pattern.nnz
    assert isinstance(layer, SparseConv2d)


@pytest.mark.parametrize(
    ("shape", "live", "expected"),
    [((64, 64), 2048, True), ((64, 64), 2049, False), ((64, 64), 0, False), ((63, 65), 1, False), ((8, 512), 1, True)],
)
def test_a_layer_is_worth_packing_from_4096_weights_on_with_half_zeros(shape, live, expected):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask.view(-1)[:live] = True
    assert worth_packing(mask) is expected


def test_a_packed_layer_can_be_traced_without_data():
    layer = SparseLinear(4, 3, torch.eye(3, 4) > 0).to("meta")
    assert layer(torch.empty(2, 4, device="meta")).shape == (2, 3)
