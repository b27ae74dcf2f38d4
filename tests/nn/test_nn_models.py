"""Whole models: which layers are prunable, packing and unpacking, states that carry the pattern."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load as safe_load
from safetensors.torch import save as safe_save
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from tamis.errors import FileError, UsageError
from tamis.nn import (
    SparseConv2d,
    SparseLinear,
    dense_state_dict,
    densify,
    is_packed,
    load_packed_state,
    prunable_modules,
    sparsify,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.block(self.norm(self.stem(x))).mean((2, 3)))


def masks(net, keep=0.3):
    return {name: torch.rand(module.weight.shape) < keep for name, module in prunable_modules(net).items()}


def pruned(net, by):
    with torch.no_grad():
        for name, mask in by.items():
            net.get_submodule(name).weight.mul_(mask)
    return net


NAMES = ["stem", "block.0", "block.2", "head"]


def test_prunable_layers_come_in_registration_order_and_by_glob():
    net = Net()
    assert list(prunable_modules(net)) == NAMES
    assert list(prunable_modules(net, include="block.*")) == ["block.0", "block.2"]
    assert list(prunable_modules(net, include=["head", "stem"])) == ["stem", "head"]
    assert list(prunable_modules(net, exclude=("stem", "*.2"))) == ["block.0", "head"]
    assert list(prunable_modules(net, include="b*", exclude="*.0")) == ["block.2"]
    assert list(prunable_modules(sparsify(net, masks(net)))) == NAMES
    assert list(prunable_modules(nn.Linear(2, 2))) == [""]
    for wrong in ({"include": "blok.*"}, {"exclude": ["norm"]}, {"include": "Stem"}):
        with pytest.raises(UsageError, match="no prunable layer matches"):
            prunable_modules(net, **wrong)


def test_a_tied_weight_appears_once_under_its_first_name():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    assert list(prunable_modules(net)) == ["0", "1"]


def test_sparsify_and_densify_are_exact_and_in_place():
    net = Net()
    by = masks(net)
    expected = copy.deepcopy(pruned(net, by)).state_dict()
    parameters = list(net.parameters())
    assert sparsify(net, by) is net
    assert [is_packed(m) for m in prunable_modules(net).values()] == [True] * 4
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert densify(net) is net
    assert not any(is_packed(m) for m in net.modules())
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_sparsify_takes_zeros_as_masks_and_leaves_dense_layers():
    net = Net()
    pruned(net, {"block.0": torch.rand(8, 8, 3, 3) < 0.3, "head": torch.arange(40).reshape(5, 8) % 5 < 3})
    sparsify(net)
    assert [is_packed(m) for m in prunable_modules(net).values()] == [False, True, False, False]
    sparsify(net, minimum_sparsity=0.4)
    assert is_packed(net.head)
    assert net.head.pattern.nnz == 24
    sparsify(net, {"stem": torch.ones(8, 3, 3, 3, dtype=torch.bool)})
    assert net.stem.pattern.sparsity == 0.0, "named layers are packed whatever their sparsity"


def test_sparsify_refuses_bad_masks_before_it_changes_anything():
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(4, 4)})
    net["c"].weight = net["b"].weight
    good = torch.eye(4) > 0
    for bad, message in (
        ({"x": good}, "no prunable layers"),
        ({"b": good}, "another layer shares its weight"),
        ({"a": good[:3]}, "mask of shape"),
    ):
        with pytest.raises(UsageError, match=message):
            sparsify(net, {"a": good, **bad})
        assert not is_packed(net["a"])


def test_sparsify_says_that_layers_of_another_dtype_stay_dense():
    net = pruned(Net(), masks(Net())).double()
    with pytest.warns(UserWarning, match=r"stays dense: it is torch.float64, .*model.float\(\)"):
        sparsify(net)
    assert not any(is_packed(module) for module in net.modules())
    with pytest.raises(UsageError, match=r"layer 'head' cannot be packed: it is torch.float64"):
        sparsify(net, {"head": torch.ones(5, 8) > 0})


def test_sparsify_leaves_layers_without_weights_and_other_classes_alone():
    net = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 4, device="meta"), NonDynamicallyQuantizableLinear(4, 4))
    nn.init.zeros_(net[2].weight)
    sparsify(net)
    assert not any(is_packed(module) for module in net.modules())


def test_a_sparsified_model_computes_what_the_masked_one_does():
    net = pruned(Net(), by := masks(Net())).eval()
    x = torch.randn(2, 3, 6, 6)
    expected = net(x)
    torch.testing.assert_close(sparsify(net, by)(x), expected, rtol=1e-5, atol=1e-6)


def test_the_state_of_a_packed_layer_carries_its_pattern_and_fits_safetensors():
    net = sparsify(Net(), by := masks(Net()))
    state = net.state_dict()
    assert [k for k in state if k.startswith("block.0.")] == [
        "block.0.bias", "block.0.values", "block.0.indices", "block.0.row_ptr"
    ]  # fmt: skip
    assert all(tensor.is_contiguous() for tensor in state.values())
    # Copies too: safetensors refuses names that share memory.
    both = nn.Sequential(net, copy.deepcopy(net)).state_dict()
    loaded = safe_load(safe_save(both))
    fresh = load_packed_state(nn.Sequential(Net(), Net()), loaded)
    for name, mask in by.items():
        assert torch.equal(fresh.get_submodule(f"1.{name}").pattern.mask(), mask)
    assert_equal_states(fresh.state_dict(), both)


def assert_equal_states(one, other):
    assert list(one) == list(other)
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_load_packed_state_works_for_dense_packed_and_bare_models():
    source = sparsify(Net(), masks(Net()))
    assert_equal_states(load_packed_state(Net(), source.state_dict()).state_dict(), source.state_dict())
    other = sparsify(Net(), masks(Net()))
    assert_equal_states(load_packed_state(other, source.state_dict()).state_dict(), source.state_dict())
    bare = sparsify(nn.Linear(6, 4), {"": torch.rand(4, 6) > 0.5})
    assert list(bare.state_dict()) == ["bias", "values", "indices", "row_ptr"]
    assert_equal_states(load_packed_state(nn.Linear(6, 4), bare.state_dict()).state_dict(), bare.state_dict())


def test_a_packed_model_loads_a_state_of_another_mask_and_keeps_its_parameters():
    net, other = sparsify(Net(), masks(Net())), sparsify(Net(), masks(Net(), 0.6))
    parameters = list(net.parameters())
    net.load_state_dict(other.state_dict())
    assert_equal_states(net.state_dict(), other.state_dict())
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    x = torch.randn(2, 3, 6, 6)
    assert torch.equal(net.eval()(x), other.eval()(x))


def test_a_packed_layer_loads_a_dense_weight_only_if_it_fits_the_support():
    layer = SparseLinear(6, 4, mask := torch.rand(4, 6) > 0.5)
    dense = {"weight": torch.randn(4, 6) * mask, "bias": torch.randn(4)}
    layer.load_state_dict(dense)
    assert torch.equal(layer.dense_weight(), dense["weight"])
    before = layer.weight.detach().clone()
    for wrong in (torch.ones(4, 6), torch.ones(4, 5), torch.ones_like(layer.weight)):
        with pytest.raises(FileError, match=r"not zero|weight of shape"):
            layer.load_state_dict({**dense, "weight": wrong})
        assert torch.equal(layer.weight, before)


DAMAGE = {
    "no indices": lambda s: s.pop("head.indices"),
    "no values": lambda s: s.pop("block.0.values"),
    "short values": lambda s: s.update({"head.values": s["head.values"][:-1]}),
    "integer values": lambda s: s.update({"head.values": s["head.values"].long()}),
    "values are no tensor": lambda s: s.update({"head.values": [1.0]}),
    "index out of range": lambda s: s["block.2.indices"].add_(1000),
    "index negative": lambda s: s["block.2.indices"].sub_(1000),
    "row_ptr falls": lambda s: s["head.row_ptr"].neg_(),
    "row_ptr of another shape": lambda s: s.update({"head.row_ptr": s["head.row_ptr"][:-1]}),
    "row_ptr is no tensor": lambda s: s.update({"head.row_ptr": None}),
    "an unknown layer": lambda s: s.update({"tail.row_ptr": s["head.row_ptr"]}),
    "a packed norm": lambda s: s.update({"norm.row_ptr": s["head.row_ptr"]}),
    "a missing norm": lambda s: s.pop("norm.weight"),
    "a bias of another shape": lambda s: s.update({"head.bias": torch.ones(7)}),
    "an unknown key": lambda s: s.update({"extra": torch.ones(1)}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("packed", [False, True], ids=["into a dense model", "into a packed model"])
def test_a_damaged_state_is_refused_and_nothing_is_half_loaded(damage, packed):
    state = {k: v.clone() for k, v in sparsify(Net(), masks(Net())).state_dict().items()}
    damage(state)
    net = Net()
    if packed:
        sparsify(net, masks(net))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(FileError):
        load_packed_state(net, state)
    assert_equal_states(net.state_dict(), before)


def test_a_state_packed_for_a_tied_weight_is_refused():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    state = sparsify(net, {"0": torch.eye(4) > 0}).state_dict()
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(FileError, match="shares its weight"):
        load_packed_state(tied, state)
    assert tied[0].weight.shape == (4, 4)


class Shared(nn.Module):
    """One layer under three names, as networks have it that repeat a layer over depth."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.layers = nn.ModuleList([self.first] * 2)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def test_a_layer_with_several_names_is_saved_and_loaded_under_all_of_them():
    net = Shared()
    mask = torch.rand(6, 6) < 0.3
    net.first.weight.data.mul_(mask)
    dense = {key: value.clone() for key, value in net.state_dict().items()}
    assert is_packed(sparsify(net, {"first": mask}).layers[1])
    shown = dense_state_dict(net)
    assert_equal_states({key: shown[key] for key in dense}, dense)
    Shared().load_state_dict(shown)
    again = load_packed_state(Shared(), net.state_dict())
    assert_equal_states(again.state_dict(), net.state_dict())
    assert again.layers[0] is again.layers[1] is again.first
    x = torch.randn(3, 6)
    assert torch.equal(again(x), net(x))


def test_a_layer_with_several_names_takes_one_support():
    state = sparsify(Shared(), {"first": torch.eye(6) > 0}).state_dict()
    other = sparsify(Shared(), {"first": torch.ones(6, 6).triu() > 0}).state_dict()
    net = Shared()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    mixed = {**state, **{key: value for key, value in other.items() if key.startswith("layers.1.")}}
    with pytest.raises(FileError, match=r"'first' and 'layers.1' are one layer"):
        load_packed_state(net, mixed)
    assert_equal_states(net.state_dict(), before)


def test_loading_leaves_the_callers_dict_alone():
    source = sparsify(Net(), masks(Net()))
    state = source.state_dict()
    names = list(state)
    load_packed_state(Net(), state)
    source.load_state_dict(state)
    assert list(state) == names


def test_dense_state_dict_is_what_the_dense_model_would_save():
    net = pruned(Net(), by := masks(Net()))
    expected = net.state_dict()
    expected = {k: v.clone() for k, v in expected.items()}
    sparsify(net, by)
    state = dense_state_dict(net)
    assert set(state) == set(expected)
    for name, tensor in state.items():
        assert torch.equal(tensor, expected[name]), name
    assert is_packed(net.head), "the model is unchanged"
    Net().load_state_dict(state)


def test_a_deep_copied_model_trains_alone():
    net = sparsify(Net(), masks(Net()))
    other = copy.deepcopy(net)
    assert isinstance(other.block[0], SparseConv2d)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    optimizer = torch.optim.Adam(other.parameters(), 0.1)
    other(torch.randn(2, 3, 6, 6)).square().sum().backward()
    optimizer.step()
    assert_equal_states(net.state_dict(), before)
    assert not torch.equal(other.block[0].weight, net.block[0].weight)
