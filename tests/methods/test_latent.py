"""How methods train latent weights through a sparse forward pass."""

from __future__ import annotations

import pytest
import torch
from latent_runs import METHODS, NAMES, STEPS, attached
from method_runs import OPTIMIZERS, assert_same_state, batch, convnet, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import CollapseError, UsageError
from tamis.methods import GMP, STE, PowerPropagation
from tamis.nn import is_packed
from tamis.sparsity import Global, Uniform, keep_count, mask_hash, soft_threshold


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_the_model_holds_the_effective_weights_after_every_step(method, optimizer_name):
    model, optimizer, sparsifier = attached(method, optimizer_name)
    keys = list(model.state_dict())

    def check(step):
        assert list(model.state_dict()) == keys
        latents, masks = sparsifier.latent_weights(), sparsifier.masks
        for name in NAMES:
            weight = model.get_submodule(name).weight.detach()
            if method == "str":
                expected = soft_threshold(latents[name], sparsifier.logits[name].detach())
                assert torch.equal(masks[name], expected != 0)
            else:
                expected = latents[name].masked_fill(~masks[name], 0.0)
            assert torch.equal(weight, expected)
            assert not weight[~masks[name]].any()
        if method in ("ste", "sr_ste"):
            assert sum(int(mask.sum()) for mask in masks.values()) == keep_count(736, sparsifier.sparsity)

    check(-1)
    before = sparsifier.latent_weights()
    train(model, optimizer, range(STEPS), after=check)
    after = sparsifier.latent_weights()
    assert all(not torch.equal(before[name], after[name]) for name in NAMES)
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) < 736


def test_weights_outside_the_mask_are_trained_with_the_gradient_at_the_masked_weights():
    model, optimizer, sparsifier = attached("ste", "momentum")
    before, masks = sparsifier.latent_weights(), sparsifier.masks
    inputs, labels = batch(0)
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), labels).backward()
    gradients = {name: model.get_submodule(name).weight.grad.clone() for name in NAMES}
    optimizer.step()
    after = sparsifier.latent_weights()
    for name in NAMES:
        assert bool(gradients[name][~masks[name]].any())
        decayed = gradients[name] + 1e-2 * before[name]  # weight decay acts on the latent weights
        torch.testing.assert_close(after[name], before[name] - 0.05 * decayed, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_a_closure_runs_on_the_sparse_weights_and_gives_the_same_training(method):
    plain, optimizer, one = attached(method)
    train(plain, optimizer, range(STEPS))
    model, optimizer, two = attached(method)
    for step in range(STEPS):
        inputs, labels = batch(step)

        def closure(inputs=inputs, labels=labels, optimizer=optimizer, model=model):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            return loss

        optimizer.step(closure)
    assert_same_state(plain, model)
    left, right = one.latent_weights(), two.latent_weights()
    assert all(torch.equal(left[name], right[name]) for name in NAMES)


def test_lbfgs_evaluates_its_trials_on_soft_thresholded_weights():
    model = mlp()
    optimizer = optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    sparsifier = METHODS["str"]().attach(model, optimizer)
    inputs, labels = batch(0)
    zeros = []

    def closure():
        zeros.append(sum(int((model.get_submodule(name).weight == 0).sum()) for name in NAMES))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    first = F.cross_entropy(model(inputs), labels).item()
    for _ in range(4):
        optimizer.step(closure)
    assert len(zeros) > 8
    assert min(zeros) > 100
    assert sparsifier.step == 4
    assert F.cross_entropy(model(inputs), labels).item() < first


@pytest.mark.parametrize("method", ["ste", "dpf", "sr_ste"])
def test_lbfgs_is_refused_by_straight_through_methods_and_nothing_stays_attached(method):
    model = mlp()
    optimizer = optim.LBFGS(model.parameters())
    with pytest.raises(UsageError, match="not the gradient of any function, which LBFGS needs"):
        METHODS[method]().attach(model, optimizer)
    assert not optimizer._optimizer_step_pre_hooks
    assert_same_state(model, mlp())


@pytest.mark.parametrize("method", METHODS)
def test_accumulated_gradients_are_turned_into_latent_ones_once(method):
    models = []
    for parts in (1, 4):
        model, optimizer, _ = attached(method, model=mlp_without_norm())
        for step in range(6):
            inputs, labels = batch(step)
            optimizer.zero_grad()
            for x, y in zip(inputs.chunk(parts), labels.chunk(parts), strict=True):
                (F.cross_entropy(model(x), y) / parts).backward()
            optimizer.step()
        models.append(model)
    assert_same_state(*models, rtol=1e-4, atol=1e-6)  # sums of the batch in another grouping


def mlp_without_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 4))


def test_callbacks_see_the_sparse_weights_of_the_ending_stretch():
    model, optimizer, sparsifier = attached("dpf")
    seen = []

    def look(one):
        weights = {name: model.get_submodule(name).weight.detach() != 0 for name in NAMES}
        assert all(bool((weights[name] <= mask).all()) for name, mask in one.masks.items())
        seen.append((one.step, mask_hash(one.masks), sum(int(w.sum()) for w in weights.values())))

    sparsifier.before_change(look)
    train(model, optimizer, range(STEPS))
    assert [step for step, *_ in seen] == [event["step"] for event in sparsifier.events[1:]] == [3, 6, 8, 9, 12, 15]
    assert [mask for _, mask, _ in seen] == [event["hash"] for event in sparsifier.events[:-1]]
    assert seen[-1][-1] <= keep_count(736, 0.8)


def test_few_changes_of_a_method_that_changes_every_step_are_recorded():
    model, optimizer, sparsifier = attached("ste", record_every=5)
    calls = []
    sparsifier.before_change(lambda one: calls.append(one.step))
    train(model, optimizer, range(STEPS))
    assert [event["step"] for event in sparsifier.events] == [0, 5, 10, 15, 16]
    assert calls == [5, 10, 15, 16]
    assert STE(0.9, 100_000).record_every == 1000
    for name in NAMES:
        assert int(sparsifier.masks[name].sum()) == sparsifier.events[-1]["layers"][name]["live"]


def test_the_gradient_norm_counts_all_gradients():
    model, _, sparsifier = attached("ste")
    inputs, labels = batch(0)
    F.cross_entropy(model(inputs), labels).backward()
    before = model[3].weight.grad.clone()
    sparsifier.mask_gradients()
    assert torch.equal(model[3].weight.grad, before)
    assert bool(before[~sparsifier.masks["3"]].any())


@pytest.mark.parametrize("method", ["ste", "dpf", "sr_ste", "str"])
def test_the_ledger_charges_dense_weight_gradients_where_the_method_needs_them(method):
    model = convnet()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = METHODS[method](distribution=Uniform(), exclude="0").attach(model, optimizer)
    train(model, optimizer, range(STEPS), (2, 6, 6))
    positions, dense = {"3": 9, "6": 1}, 2 * (144 * 36 + 576 * 9 + 288)
    steps = shares = 0
    for row in sparsifier._history.rows(sparsifier.step, sparsifier._supports):
        forward = 2 * (144 * 36 + sum(row["live"][name] * positions[name] for name in positions)) / dense
        steps += row["end"] - row["start"]
        shares += (row["end"] - row["start"]) * (forward if method == "str" else (2 * forward + 1) / 3)
    ledger = {(row["row"], row["count"]): row for row in sparsifier.ledger(torch.zeros(2, 2, 6, 6))}
    assert ledger["training", "mask"]["fraction"] == pytest.approx(shares / steps, rel=1e-12)
    assert ledger["training", "mask"]["fraction"] < 1.0
    assert steps == STEPS


@pytest.mark.parametrize("method", METHODS)
def test_choices_that_make_no_sense_are_refused(method):
    if method != "dpf":
        with pytest.raises(UsageError, match="may change at every step"):
            METHODS[method](packed=True)
    with pytest.raises(UsageError, match="is a reparameterisation itself"):
        METHODS[method](reparameterise=PowerPropagation(2.0))
    with pytest.raises(UsageError, match="record_every must be at least 1"):
        METHODS[method](record_every=0)
    with pytest.raises(UsageError, match="total_steps must be a whole number"):
        STE(0.5, 1.5)
    model, optimizer, _ = attached(method, packed="auto")
    assert not any(is_packed(layer) for layer in model)
    with pytest.raises(UsageError, match="governed by another sparsifier"):
        GMP(0.9, 10).attach(model, optimizer)


def test_a_layer_that_starves_is_an_error_before_it_happens():
    model = mlp()
    with torch.no_grad():
        model[5].weight.mul_(1e-3)
    with pytest.raises(CollapseError, match="no weight survives in 5"):
        attached("ste", model=model, distribution=Global(floor=0.0))
    assert float(model[5].weight.detach().abs().max()) > 0  # refused before anything was zeroed
