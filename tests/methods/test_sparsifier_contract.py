"""What every method promises to a user's own loop."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from method_runs import OPTIMIZERS, SURGEONS, Tied, assert_same_state, batch, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import ACDC, GMP, KeepZeros, OneShot
from tamis.nn import is_packed, sparsify
from tamis.sparsity import keep_count


def one_shot(packed, sparsity=0.8, name="momentum"):
    model = mlp()
    optimizer = OPTIMIZERS[name](model.parameters())
    return model, optimizer, OneShot(sparsity, packed=packed).attach(model, optimizer)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_are_exactly_zero_after_every_step(name, packed):
    model, optimizer, sparsifier = one_shot(packed, name=name)
    masks = sparsifier.masks

    def check(step):
        state = model.state_dict()
        assert all(not state[f"{n}.weight"][~mask].any() for n, mask in masks.items())

    before = {n: model.state_dict()[f"{n}.weight"].clone() for n in masks}
    train(model, optimizer, range(8), after=check)
    after = model.state_dict()
    assert all(bool((before[n] != after[f"{n}.weight"])[mask].any()) for n, mask in masks.items())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["momentum", "adam", "adamw"])
@pytest.mark.parametrize("method", SURGEONS)
def test_methods_that_move_weights_keep_the_rest_of_the_contract(method, name, packed):
    model = mlp()
    keys = list(model.state_dict())
    optimizer = OPTIMIZERS[name](model.parameters())
    sparsifier = SURGEONS[method](0.8, 12, packed=packed).attach(model, optimizer)

    def check(step):
        state = model.state_dict()
        assert list(state) == keys
        assert all(not state[f"{n}.weight"][~mask].any() for n, mask in sparsifier.masks.items())
        assert_same_state(model, copy.deepcopy(model))

    train(model, optimizer, range(12), after=check)
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == keep_count(736, 0.8)
    assert any(is_packed(m) for m in model) == packed
    pruned = [event for event in sparsifier.events if event["event"] == "prune"]
    assert pruned[-1]["target"] == 0.8
    assert all(event["regrown_share"] in (None, 0.0) for event in pruned)


@pytest.mark.parametrize("make", [lambda p: optim.LBFGS(p, lr=0.1, max_iter=3), lambda p: optim.SGD(p, 0.1, 0.9)])
def test_optimizers_with_a_closure_see_masked_gradients(make):
    model = mlp()
    optimizer = make(model.parameters())
    sparsifier = OneShot(0.8, packed=False).attach(model, optimizer)
    inputs, labels = batch(0)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(5):
        optimizer.step(closure)
        for name, mask in sparsifier.masks.items():
            layer = model.get_submodule(name)
            assert not layer.weight[~mask].any()
            assert not layer.weight.grad[~mask].any()
    assert closure().item() < first
    assert sparsifier.step == 5


@pytest.mark.parametrize("packed", [True, False])
def test_the_keys_shapes_and_order_of_the_state_dict_never_change(packed):
    model = mlp()
    before = {key: value.shape for key, value in model.state_dict().items()}
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 20, packed=packed).attach(model, optimizer)
    names = [name for name, _ in model.named_parameters()]

    def check(step):
        state = model.state_dict(prefix="net.")
        assert list(state) == [f"net.{key}" for key in before]
        assert [value.shape for value in state.values()] == list(before.values())
        assert [name for name, _ in model.named_parameters()] == names

    train(model, optimizer, range(20), after=check)
    assert any(is_packed(m) for m in model) == packed
    sparsifier.finalize()
    check(20)


@pytest.mark.parametrize("packed", [True, False])
def test_a_deep_copy_is_an_independent_model(packed):
    model, optimizer, _ = one_shot(packed)
    train(model, optimizer, range(3))
    twin = copy.deepcopy(model)
    assert_same_state(model, twin)
    frozen = {key: value.clone() for key, value in twin.state_dict().items()}
    train(model, optimizer, range(3, 6))
    assert all(torch.equal(frozen[key], value) for key, value in twin.state_dict().items())
    own = optim.SGD(twin.parameters(), 0.1, momentum=0.9)
    train(twin, own, range(3))  # an optimizer that no sparsifier knows
    assert not own._optimizer_step_post_hooks
    assert_same_state(twin, copy.deepcopy(twin))


@pytest.mark.parametrize("packed", [True, False])
def test_the_model_can_be_pickled_and_comes_back_without_the_sparsifier(packed):
    model, optimizer, _ = one_shot(packed)
    train(model, optimizer, range(3))
    assert_same_state(model, pickle.loads(pickle.dumps(model)))


@pytest.mark.parametrize("packed", [True, False])
def test_tied_weights_stay_tied_and_masked(packed):
    torch.manual_seed(0)
    model = Tied()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.7, 20, packed=packed).attach(model, optimizer)
    train(model, optimizer, range(20))
    assert model.decode.weight is model.encode.weight
    assert list(sparsifier.masks) == ["encode", "head"]
    assert not model.decode.weight[~sparsifier.masks["encode"]].any()
    assert set(model.state_dict()) == {"encode.weight", "decode.weight", "head.weight", "head.bias"}


def test_a_compiled_forward_pass_sees_every_mask_change():
    model = mlp()
    compiled = torch.compile(model, backend="eager")
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 20, packed=False).attach(compiled, optimizer)
    train(compiled, optimizer, range(20))
    twin = mlp()
    other = OPTIMIZERS["momentum"](twin.parameters())
    ACDC(0.8, 20, packed=False).attach(twin, other)
    train(twin, other, range(20))
    assert list(sparsifier.masks) == ["0", "3", "5"]
    assert_same_state(model, twin)


def test_gradients_accumulate_over_several_backward_passes():
    model, optimizer, sparsifier = one_shot(False)
    masks = sparsifier.masks
    for step in range(4):
        optimizer.zero_grad()
        for part in range(3):
            inputs, labels = batch(3 * step + part)
            (F.cross_entropy(model(inputs), labels) / 3).backward()
        optimizer.step()
    assert sparsifier.step == 4
    assert all(not model.get_submodule(n).weight[~mask].any() for n, mask in masks.items())


def test_learning_rate_schedulers_and_frozen_layers_keep_working():
    model = mlp()
    model[0].weight.requires_grad_(False)
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    sparsifier = ACDC(0.8, 20).attach(model, optimizer)
    train(model, optimizer, range(20), after=lambda step: scheduler.step())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)
    assert not model.state_dict()["0.weight"][~sparsifier.masks["0"]].any()


@pytest.mark.parametrize("packed", [True, False])
def test_loading_weights_outside_the_support_is_refused_before_anything_is_copied(packed):
    model, _, _ = one_shot(packed)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UsageError, match=r"non-zero weights in 0\.weight .*load the weights before attach"):
        model.load_state_dict(mlp(seed=1).state_dict())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    inside = {key: value * 2 if value.is_floating_point() else value for key, value in before.items()}
    model.load_state_dict(inside)
    assert all(torch.equal(inside[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("packed", [True, False])
def test_a_packed_state_dict_loads_into_an_attached_model(packed):
    model, optimizer, sparsifier = one_shot(packed)
    train(model, optimizer, range(3))
    dense = {key: value.clone() for key, value in model.state_dict().items()}
    other = mlp()
    other.load_state_dict(dense)
    packed_state = sparsify(other, sparsifier.masks).state_dict()
    assert "3.values" in packed_state
    model.load_state_dict(packed_state)
    assert all(torch.equal(dense[key], value) for key, value in model.state_dict().items())


def test_in_a_dense_phase_any_weights_can_be_loaded():
    model = mlp()
    ACDC(0.8, 20).attach(model, OPTIMIZERS["momentum"](model.parameters()))
    model.load_state_dict(mlp(seed=1).state_dict())
    assert_same_state(model, mlp(seed=1))


@pytest.mark.parametrize("keep_packed", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_finalize_leaves_a_plain_model_with_exact_zeros(packed, keep_packed):
    model, optimizer, sparsifier = one_shot(packed)
    train(model, optimizer, range(3))
    masks = sparsifier.masks
    dense = {key: value.clone() for key, value in model.state_dict().items()}
    assert sparsifier.finalize(keep_packed=keep_packed) is model
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert [is_packed(model[i]) for i in (0, 3, 5)] == [packed and keep_packed] * 3
    if packed and keep_packed:
        assert {"3.values", "3.indices", "3.row_ptr"} <= set(model.state_dict())
    else:
        assert all(torch.equal(dense[key], value) for key, value in model.state_dict().items())
        zeros = torch.cat([model.get_submodule(n).weight.detach()[~mask] for n, mask in masks.items()])
        assert not torch.signbit(zeros).any()  # no -0.0 either
    assert sparsifier.report()["sparsity"] == 1 - keep_count(736, 0.8) / 736
    again = OneShot(0.9).attach(model, optimizer)
    assert again.step == 0


def test_one_layer_has_one_sparsifier():
    model, optimizer, first = one_shot(False)
    with pytest.raises(UsageError, match="governed by another sparsifier"):
        GMP(0.9, 10).attach(model, optimizer)
    with pytest.raises(UsageError, match="attached already"):
        first.attach(model, optimizer)
    first.detach()
    GMP(0.9, 10).attach(model, optimizer)


def test_a_wrong_optimizer_or_an_empty_model_is_refused():
    with pytest.raises(UsageError, match="holds no parameter of the model"):
        OneShot(0.9).attach(mlp(), OPTIMIZERS["sgd"](mlp().parameters()))
    norm = nn.Sequential(nn.BatchNorm1d(4))
    with pytest.raises(UsageError, match="no Linear, Conv1d or Conv2d"):
        OneShot(0.9).attach(norm, OPTIMIZERS["sgd"](norm.parameters()))
    model = mlp()
    with pytest.raises(UsageError, match="no prunable layer matches 'stem'"):
        OneShot(0.9, exclude="stem").attach(model, OPTIMIZERS["sgd"](model.parameters()))
    with pytest.raises(UsageError, match="not attached"):
        OneShot(0.9).finalize()


def test_keep_zeros_trains_only_what_lives():
    model = mlp()
    with torch.no_grad():
        model[3].weight[:, ::2] = -0.0
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    sparsifier = KeepZeros().attach(model, optimizer)
    train(model, optimizer, range(5))
    state = model.state_dict()
    assert not state["3.weight"][:, ::2].any()
    assert bool(state["3.weight"][:, 1::2].all())
    assert bool(state["0.weight"].all())
    assert sparsifier.events[-1]["layers"]["3"]["live"] == 16 * 12
