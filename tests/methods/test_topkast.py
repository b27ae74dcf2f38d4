"""Top-KAST: one mask for the forward pass, a larger one for the gradient, and weights that only wait."""

from __future__ import annotations

import copy

import pytest
import torch
from latent_runs import latent
from method_runs import OPTIMIZERS, assert_same_state, attached, batch, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.kernels import native_available
from tamis.methods import TopKAST
from tamis.nn import is_packed
from tamis.sparsity import keep_count


def small(vector, packed, **options):
    model = nn.Sequential(nn.Linear(8, 1, bias=False))
    model[0].weight.data = torch.tensor([vector["w"]])
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    sparsifier = TopKAST(0.75, backward_sparsity=0.5, packed=packed, **options).attach(model, optimizer)
    return model, optimizer, sparsifier


@pytest.mark.parametrize("packed", [True, False])
def test_masks_and_penalty_are_those_of_the_vectors(pruning_vectors, packed):
    vector = pruning_vectors["topkast"]
    model, optimizer, sparsifier = small(vector, packed, strength=vector["lambda"])
    assert sparsifier.masks["0"].int().tolist() == [vector["A"]]
    assert sparsifier.gradient_masks["0"].int().tolist() == [vector["B"]]
    before = torch.tensor([vector["w"]])
    assert torch.equal(model.state_dict()["0.weight"], before * sparsifier.masks["0"])
    model(torch.zeros(1, 8)).sum().backward()  # the loss has no gradient, so the penalty is all that acts
    optimizer.step()
    step = before - latent(sparsifier)["0"]
    torch.testing.assert_close(step, torch.tensor([vector["regulariser_grad"]]), rtol=0, atol=1e-7)
    assert not step[~sparsifier.gradient_masks["0"]].any()  # outside B nothing moves


@pytest.mark.parametrize("packed", [True, False])
def test_one_step_in_a_small_picture(pruning_vectors, packed):
    vector = pruning_vectors["topkast"]
    model, optimizer, sparsifier = small(vector, packed, strength=0.0)
    inputs = torch.arange(1.0, 9.0)[None]
    assert model(inputs).item() == pytest.approx(0.9 * 1 - 0.7 * 5)  # A alone
    (0.01 * model(inputs)).sum().backward()
    optimizer.step()
    moved = torch.tensor([vector["w"]]) - 0.01 * inputs * torch.tensor([vector["B"]])
    torch.testing.assert_close(latent(sparsifier)["0"], moved, rtol=0, atol=1e-7)
    assert model.state_dict()["0.weight"].count_nonzero() == 2


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_outside_the_gradient_mask_are_frozen_and_the_forward_weights_alone_are_seen(name, packed):
    model, optimizer, sparsifier = attached(TopKAST(0.8, every=50, packed=packed), name)
    masks, wide = sparsifier.masks, sparsifier.gradient_masks
    before = latent(sparsifier)

    def check(step):
        state = model.state_dict()
        now = latent(sparsifier)
        for n, mask in masks.items():
            assert not state[f"{n}.weight"][~mask].any()
            assert torch.equal(now[n][mask], state[f"{n}.weight"][mask])
            assert torch.equal(now[n][~wide[n]], before[n][~wide[n]])

    train(model, optimizer, range(8), after=check)
    after = latent(sparsifier)
    assert any(is_packed(layer) for layer in model) == packed
    for n, mask in masks.items():
        assert int(mask.sum()) == keep_count(mask.numel(), 0.8)
        assert int(wide[n].sum()) == keep_count(mask.numel(), 0.6)
        assert bool((mask <= wide[n]).all())
        assert bool((after[n] != before[n])[wide[n] & ~mask].any())


def test_the_gradient_is_that_of_the_network_with_the_forward_weights():
    model, optimizer, sparsifier = attached(TopKAST(0.8, every=50, strength=0.0, packed=False), "sgd")
    optimizer.param_groups[0]["weight_decay"] = 0.0
    twin = copy.deepcopy(model)
    before = latent(sparsifier)
    inputs, labels = batch(0)
    F.cross_entropy(twin(inputs), labels).backward()
    train(model, optimizer, range(1))
    for n, wide in sparsifier.gradient_masks.items():
        expected = before[n] - 0.05 * twin.get_submodule(n).weight.grad * wide
        torch.testing.assert_close(latent(sparsifier)[n], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("packed", [True, False])
def test_a_weight_that_waited_outside_comes_back_with_its_value_and_a_new_state(packed):
    model, optimizer, sparsifier = attached(TopKAST(0.8, every=3, packed=packed), "adam")
    train(model, optimizer, range(2))
    old = sparsifier.gradient_masks
    saved = latent(sparsifier)
    with torch.no_grad():  # the weights of B shrink, so that frozen ones outrank them
        for layer in (model[0], model[3], model[5]):
            layer.weight.mul_(0.05)
    train(model, optimizer, range(2, 3))
    now = latent(sparsifier)
    entered = {n: mask & ~old[n] for n, mask in sparsifier.gradient_masks.items()}
    assert sum(int(mask.sum()) for mask in entered.values()) > 50
    for n, mask in entered.items():
        assert torch.equal(now[n][mask], saved[n][mask])
        layer = model.get_submodule(n)
        state = optimizer.state[layer.weight]["exp_avg"]
        state = layer.pattern.unpack(state) if packed else state
        assert not state[mask].any()
        assert bool(state[sparsifier.gradient_masks[n] & old[n]].any()) or not bool(
            (sparsifier.gradient_masks[n] & old[n]).any()
        )


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("keep_packed", [True, False])
def test_the_deployed_model_is_the_forward_mask(packed, keep_packed):
    model, optimizer, sparsifier = attached(TopKAST(0.8, every=3, packed=packed))
    train(model, optimizer, range(5))
    masks, expected = sparsifier.masks, {k: v.clone() for k, v in model.state_dict().items()}
    inputs, _ = batch(9)
    model.eval()
    before = model(inputs)
    sparsifier.finalize(keep_packed=keep_packed)
    assert any(is_packed(layer) for layer in model) == (packed and keep_packed)
    torch.testing.assert_close(model(inputs), before, rtol=1e-5, atol=1e-6)
    if not (packed and keep_packed):
        assert all(torch.equal(expected[key], value) for key, value in model.state_dict().items())
        assert all(not model.get_submodule(n).weight[~mask].any() for n, mask in masks.items())
    else:
        assert all(model.get_submodule(n).weight.numel() == int(mask.sum()) for n, mask in masks.items())


def test_a_checkpoint_of_a_masked_run_goes_on_packed_and_the_other_way_round(monkeypatch):
    from tamis.kernels import _native

    monkeypatch.setattr(_native, "serves", lambda *args: False)  # equal arithmetic on both sides
    for before, after in ((True, False), (False, True)):
        model, optimizer, first = attached(TopKAST(0.8, every=3, packed=before))
        train(model, optimizer, range(4))
        state = copy.deepcopy((first.state_dict(), model.state_dict()))
        twin, _, second = attached(TopKAST(0.8, every=3, packed=after), model=mlp(seed=5))
        second.load_state_dict(state[0])
        twin.load_state_dict(state[1])
        for n, weight in latent(first).items():
            assert torch.equal(weight, latent(second)[n])
            assert torch.equal(first.gradient_masks[n], second.gradient_masks[n])


@pytest.mark.parametrize("make", [OPTIMIZERS["momentum"], lambda p: optim.LBFGS(p, lr=0.1, max_iter=3)])
@pytest.mark.filterwarnings("ignore::tamis.methods.UnknownStateWarning")  # LBFGS keeps flat state
def test_a_closure_sees_the_forward_weights_alone(make):
    model = mlp()
    optimizer = make(model.parameters())
    sparsifier = TopKAST(0.8, every=3, packed=False).attach(model, optimizer)

    def closure():
        for n, mask in sparsifier.masks.items():
            assert not model.get_submodule(n).weight[~mask].any()
        optimizer.zero_grad()
        inputs, labels = batch(0)
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    for _ in range(6):
        optimizer.step(closure)
        for n, mask in sparsifier.masks.items():
            assert not model.get_submodule(n).weight[~mask].any()
    if isinstance(optimizer, optim.SGD):  # LBFGS takes several steps, and its curvature is not that of this gradient
        twin, other, _ = attached(TopKAST(0.8, every=3, packed=False))
        for _ in range(6):
            inputs, labels = batch(0)
            other.zero_grad()
            F.cross_entropy(twin(inputs), labels).backward()
            other.step()
        assert_same_state(model, twin)


def test_masking_before_clipping_keeps_the_gradients_of_the_larger_mask():
    model, _optimizer, sparsifier = attached(TopKAST(0.8, packed=False))
    inputs, labels = batch(0)
    F.cross_entropy(model(inputs), labels).backward()
    sparsifier.mask_gradients()
    for n, wide in sparsifier.gradient_masks.items():
        grad = model.get_submodule(n).weight.grad
        assert not grad[~wide].any()
        assert bool(grad[wide & ~sparsifier.masks[n]].any())


def test_frozen_layers_and_accumulated_gradients_keep_working():
    models = []
    for packed in (True, False):
        model = mlp()
        model[0].weight.requires_grad_(False)
        optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05, momentum=0.9)
        sparsifier = TopKAST(0.8, every=3, packed=packed).attach(model, optimizer)
        start = latent(sparsifier)["0"]
        for step in range(8):
            optimizer.zero_grad(set_to_none=False)
            for part in range(2):
                inputs, labels = batch(2 * step + part)
                (F.cross_entropy(model(inputs), labels) / 2).backward()
            optimizer.step()
        assert torch.equal(latent(sparsifier)["0"], start)
        models.append(model)
    assert_same_state(*models, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not native_available(), reason="the native kernels are switched off or were not built")
def test_large_layers_run_packed_beside_small_masked_ones():
    models = []
    for packed in ("auto", False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 400), nn.ReLU(), nn.Linear(400, 16), nn.ReLU(), nn.Linear(16, 4))
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        sparsifier = TopKAST(0.8, every=3, packed=packed).attach(model, optimizer)
        train(model, optimizer, range(8))
        assert sparsifier._supports.packed_layers == (["0", "2"] if packed else [])
        models.append((model, latent(sparsifier)))
    # float32 sums in another order, carried through 8 steps of training
    assert_same_state(models[0][0], models[1][0], rtol=1e-4, atol=1e-5)
    for name, weight in models[0][1].items():
        torch.testing.assert_close(weight, models[1][1][name], rtol=1e-4, atol=1e-5)
