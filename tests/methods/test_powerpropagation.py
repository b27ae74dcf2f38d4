"""Powerpropagation under magnitude methods."""

from __future__ import annotations

import pytest
import torch
from method_runs import OPTIMIZERS, SHORT, assert_same_state, batch, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import ACDC, GMP, OneShot, PowerPropagation, ReturnAsSaved, ReturnAtRandom
from tamis.sparsity import keep_count

NAMES = ("0", "3", "5")
METHODS = {
    "acdc saved": lambda **o: ACDC(0.8, 16, schedule=SHORT, returning=ReturnAsSaved(), **o),
    "acdc random": lambda **o: ACDC(0.8, 16, schedule=SHORT, returning=ReturnAtRandom(), **o),
    "gmp": lambda **o: GMP(0.8, 16, initial=0.2, events=6, **o),
    "gmp revive": lambda **o: GMP(0.8, 16, initial=0.2, events=6, revive=True, **o),
    "one shot": lambda **o: OneShot(0.8, at_step=5, **o),
}


def trained(method, optimizer_name="momentum", after=lambda step, one: None, **options):
    model = mlp()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    sparsifier = METHODS[method](**options).attach(model, optimizer)
    train(model, optimizer, range(16), after=lambda step: after(step, sparsifier))
    return model, sparsifier


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("optimizer_name", ["momentum", "adamw", "rprop"])
@pytest.mark.parametrize("method", METHODS)
def test_exponent_one_is_plain_training_bit_for_bit(method, optimizer_name, packed):
    plain, one = trained(method, optimizer_name, packed=packed)
    powered, two = trained(method, optimizer_name, packed=packed, reparameterise=PowerPropagation(1.0))
    assert_same_state(plain, powered)
    assert one.events == two.events


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_pruned_weights_are_zero_after_every_step_and_counts_are_exact(method, packed):
    def check(step, one):
        state = one._model.state_dict()
        for name, mask in one.masks.items():
            assert not state[f"{name}.weight"][~mask].any()

    _, sparsifier = trained(method, "adamw", check, packed=packed, reparameterise=PowerPropagation(2.0))
    for event in sparsifier.events:
        if event["event"] != "decompress":
            assert sum(row["live"] for row in event["layers"].values()) == keep_count(736, event["target"])
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == keep_count(736, 0.8)


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_training_is_that_of_autograd_through_the_power(name):
    model = mlp()
    optimizer = OPTIMIZERS[name](model.parameters())
    OneShot(0.5, at_step=99, reparameterise=PowerPropagation(2.0)).attach(model, optimizer)
    train(model, optimizer, range(8))

    twin = mlp()
    with torch.no_grad():
        for n in NAMES:
            weight = twin.get_submodule(n).weight
            weight.copy_(weight.sign() * weight.abs().sqrt())
    other = OPTIMIZERS[name](twin.parameters())
    for step in range(8):
        inputs, labels = batch(step)
        other.zero_grad()
        weights = {f"{n}.weight": twin.get_submodule(n).weight * twin.get_submodule(n).weight.abs() for n in NAMES}
        F.cross_entropy(torch.func.functional_call(twin, weights, (inputs,)), labels).backward()
        other.step()
    for n in NAMES:
        theta = twin.get_submodule(n).weight.detach()
        torch.testing.assert_close(model.get_submodule(n).weight.detach(), theta * theta.abs(), rtol=1e-4, atol=1e-6)


def test_one_step_by_hand():
    model = nn.Sequential(nn.Linear(3, 1, bias=False, dtype=torch.float64))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[4.0, -9.0, 0.0]]))
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    OneShot(0.5, at_step=9, reparameterise=PowerPropagation(2.0)).attach(model, optimizer)
    model[0].weight.grad = torch.tensor([[1.0, 0.5, 7.0]], dtype=torch.float64)
    optimizer.step()  # theta = (2, -3, 0); gradients (1 * 2 * 2, 0.5 * 2 * 3, 0)
    assert model[0].weight.tolist() == [[0.0, -(4.5**2), 0.0]]


def test_packed_and_masked_training_stay_close():
    models = [trained("gmp", packed=packed, reparameterise=PowerPropagation(2.0))[0] for packed in (True, False)]
    # packing takes the roots of the live weights anew, and the kernels sum in another order
    assert_same_state(*models, rtol=1e-3, atol=1e-5)


def test_a_closure_sees_the_weights_and_not_their_roots():
    models = []
    for with_closure in (True, False):
        model = mlp()
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        OneShot(0.7, at_step=2, packed=False, reparameterise=PowerPropagation(2.0)).attach(model, optimizer)
        for step in range(6):
            inputs, labels = batch(step)

            def closure(inputs=inputs, labels=labels, optimizer=optimizer, model=model):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs), labels)
                loss.backward()
                return loss

            if with_closure:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        models.append(model)
    # at the first step the closure sees powers of roots, which differ from the weights in the last bit
    assert_same_state(*models, rtol=1e-5, atol=1e-6)


def test_weights_that_would_return_as_zeros_for_good_are_refused():
    with pytest.raises(UsageError, match=r"get no gradient under PowerPropagation\(alpha=2\.0\)"):
        ACDC(0.8, 16, schedule=SHORT, reparameterise=PowerPropagation(2.0))
    ACDC(0.8, 16, schedule=SHORT, reparameterise=PowerPropagation(1.0))
    for alpha in (0.5, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="finite alpha of at least 1"):
            PowerPropagation(alpha)


def test_resuming_with_another_exponent_is_refused():
    _, sparsifier = trained("gmp", reparameterise=PowerPropagation(2.0))
    model = mlp()
    other = METHODS["gmp"](reparameterise=PowerPropagation(3.0))
    other.attach(model, OPTIMIZERS["momentum"](model.parameters()))
    with pytest.raises(UsageError, match="choice 'reparameterise'"):
        other.load_state_dict(sparsifier.state_dict())
