"""Packed and masked training are the same training."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from method_runs import OPTIMIZERS, SHORT, assert_same_state, batch, convnet, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.kernels import native_available
from tamis.methods import ACDC, GMP, SET, SNFS, OneShot, Ramp, ReturnAsSaved, ReturnAtRandom, RigL, SRigL, TopKAST
from tamis.nn import is_packed, worth_packing

METHODS = {
    "acdc": lambda **o: ACDC(0.8, 16, schedule=SHORT, **o),
    "acdc ramp": lambda **o: ACDC(0.8, 16, schedule=SHORT, ramp=Ramp(0.5, 2), **o),
    "acdc saved": lambda **o: ACDC(0.8, 16, schedule=SHORT, returning=ReturnAsSaved(), **o),
    "acdc random": lambda **o: ACDC(0.8, 16, schedule=SHORT, returning=ReturnAtRandom(), **o),
    "gmp": lambda **o: GMP(0.8, 16, initial=0.2, events=6, **o),
    "gmp revive": lambda **o: GMP(0.8, 16, initial=0.2, events=6, revive=True, **o),
    "one shot": lambda **o: OneShot(0.8, at_step=5, **o),
    "set": lambda **o: SET(0.8, 16, every=3, **o),
    "rigl": lambda **o: RigL(0.8, 16, every=3, **o),
    "snfs": lambda **o: SNFS(0.8, 16, every=3, end=0.6, **o),
    "topkast": lambda **o: TopKAST(0.8, every=3, strength=0.1, **o),
    "srigl": lambda **o: SRigL(0.8, 16, every=3, alpha=0.6, gamma=0.6, **o),
}


def trained(method, optimizer_name, packed, network=mlp, shape=(12,), steps=16):
    model = network()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    sparsifier = METHODS[method](packed=packed).attach(model, optimizer)
    packed_at: set[str] = set()
    train(
        model, optimizer, range(steps), shape, after=lambda step: packed_at.update(sparsifier._supports.packed_layers)
    )
    assert bool(packed_at) == packed  # the comparison means nothing if nothing was ever packed
    return model, optimizer, sparsifier


@pytest.fixture
def plain_kernels(monkeypatch):
    """Packed layers on the plain-torch twin, whose arithmetic is that of the dense layers."""
    from tamis.kernels import _native

    monkeypatch.setattr(_native, "serves", lambda *args: False)


@pytest.mark.usefixtures("plain_kernels")
@pytest.mark.parametrize(
    ("method", "optimizer_name"),
    [
        *((method, name) for method in METHODS for name in ("momentum", "adamw")),
        *((method, name) for method in ("acdc", "gmp revive", "rigl", "set", "topkast") for name in OPTIMIZERS),
    ],
)
def test_packed_training_is_masked_training_to_the_bit_with_equal_arithmetic(method, optimizer_name):
    masked, _, sparsifier = trained(method, optimizer_name, packed=False)
    packed, _, twin = trained(method, optimizer_name, packed=True)
    assert [event["hash"] for event in sparsifier.events if "hash" in event] == [
        event["hash"] for event in twin.events if "hash" in event
    ]
    assert_same_state(masked, packed)


@pytest.mark.usefixtures("plain_kernels")
def test_packed_convolutions_train_as_masked_ones_to_the_bit():
    masked, *_ = trained("acdc", "momentum", packed=False, network=convnet, shape=(2, 6, 6))
    packed, *_ = trained("acdc", "momentum", packed=True, network=convnet, shape=(2, 6, 6))
    assert_same_state(masked, packed)


@pytest.mark.skipif(not native_available(), reason="the native kernels are switched off or were not built")
@pytest.mark.parametrize("network", [mlp, convnet])
def test_packed_training_on_the_native_kernels_stays_close_to_masked_training(network):
    shape = (12,) if network is mlp else (2, 6, 6)
    masked, *_ = trained("acdc", "momentum", packed=False, network=network, shape=shape)
    packed, *_ = trained("acdc", "momentum", packed=True, network=network, shape=shape)
    # float32 sums in another order, carried through 16 steps of training
    assert_same_state(masked, packed, rtol=1e-4, atol=1e-5)


def test_momentum_survives_packing_and_unpacking_to_the_bit():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = GMP.at_steps(0.8, 4, 10, 3, initial=0.5, packed=True).attach(model, optimizer)
    train(model, optimizer, range(3))
    at_last_step = {}
    handle = optimizer.register_step_pre_hook(
        lambda *a: at_last_step.update({n: model.get_submodule(n).weight for n in "035"})
    )
    train(model, optimizer, range(3, 4))
    handle.remove()
    weight = model[3].weight
    assert weight is at_last_step["3"]
    buffer = optimizer.state[weight]["momentum_buffer"]
    assert buffer.shape == weight.shape == (int(sparsifier.masks["3"].sum()),)
    pattern, before = model[3].pattern, buffer.clone()
    sparsifier.detach()
    after = optimizer.state[weight]["momentum_buffer"]
    assert after.shape == weight.shape == (16, 24)
    assert torch.equal(pattern.pack(after), before)
    assert int(after.count_nonzero()) <= pattern.nnz


def test_the_parameter_object_and_the_clipping_list_stay_the_same():
    model = mlp()
    parameters = list(model.parameters())
    optimizer = OPTIMIZERS["momentum"](parameters)
    sparsifier = ACDC(0.8, 20, packed=True).attach(model, optimizer)
    shapes = [tuple(p.shape) for p in parameters]
    for step in range(20):
        optimizer.zero_grad()
        inputs, labels = batch(step)
        F.cross_entropy(model(inputs), labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
    assert [id(p) for p in model.parameters()] == [id(p) for p in parameters]
    assert is_packed(model[3])
    sparsifier.detach()
    assert [tuple(p.shape) for p in parameters] == shapes


def test_clipping_after_mask_gradients_equals_clipping_packed_gradients(plain_kernels):
    models = []
    for packed in (True, False):
        model = mlp()
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        sparsifier = OneShot(0.8, packed=packed).attach(model, optimizer)
        for step in range(10):
            inputs, labels = batch(step)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            sparsifier.mask_gradients()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
        models.append(model)
    # the norm sums the same squares in another grouping
    assert_same_state(*models, rtol=1e-5, atol=1e-7)


def test_accumulated_gradients_train_packed_as_masked(plain_kernels):
    models = []
    for packed in (True, False):
        model = mlp()
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        ACDC(0.8, 20, packed=packed).attach(model, optimizer)
        for step in range(20):
            optimizer.zero_grad(set_to_none=False)
            for part in range(3):
                inputs, labels = batch(3 * step + part)
                (F.cross_entropy(model(inputs), labels) / 3).backward()
            optimizer.step()
        models.append(model)
    assert_same_state(*models)


def test_optimizers_that_mix_weights_run_masked():
    model = nn.Sequential(nn.Linear(12, 24, bias=False), nn.ReLU(), nn.Linear(24, 4, bias=False))
    optimizer = optim.Muon(model.parameters(), lr=1e-2)
    with pytest.raises(UsageError, match="Muon is not known to update every weight by itself"):
        OneShot(0.8, packed=True).attach(model, optimizer)
    sparsifier = OneShot(0.8).attach(model, optimizer)
    train(model, optimizer, range(3))
    assert sparsifier._supports.packed_layers == []
    assert all(not model.get_submodule(n).weight[~mask].any() for n, mask in sparsifier.masks.items())


def test_shared_weights_and_subclasses_run_masked():
    class MyLinear(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12), MyLinear(12, 4))
    model[1].weight = model[0].weight
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = OneShot(0.8, packed=True).attach(model, optimizer)
    assert sparsifier._supports.packed_layers == ["2"]
    assert list(sparsifier.masks) == ["0", "2", "3"]
    train(model, optimizer, range(5))
    assert model[0].weight is model[1].weight
    assert int(model[1].weight.count_nonzero()) <= int(sparsifier.masks["0"].sum())


@pytest.mark.skipif(not native_available(), reason="the native kernels are switched off or were not built")
def test_auto_packs_only_layers_that_are_worth_it():
    model = nn.Sequential(nn.Linear(12, 400), nn.ReLU(), nn.Linear(400, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = GMP.at_steps(0.8, 0, 2, 1, initial=0.2).attach(model, optimizer)
    assert sparsifier.events[-1]["packed"] == []
    train(model, optimizer, range(2))
    last = sparsifier.events[-1]
    assert last["packed"] == [n for n, mask in sparsifier.masks.items() if worth_packing(mask)] != []


def test_masks_never_grow_back_while_gradual_pruning_runs_packed():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = GMP(0.9, 30, start=0.0, end=0.9, events=10, packed=True).attach(model, optimizer)
    masks = [sparsifier.masks]
    train(model, optimizer, range(30), after=lambda step: masks.append(sparsifier.masks))
    for before, after in pairwise(masks):
        assert all(bool((after[name] <= before[name]).all()) for name in after)
