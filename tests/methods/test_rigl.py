"""RigL: one update, to the weight, and what surrounds it in a training loop."""

from __future__ import annotations

import copy

import pytest
import torch
from method_runs import OPTIMIZERS, assert_same_state, attached, batch, gradients_of, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.methods import RigL


def copied(model, optimizer):
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"]))


@pytest.mark.parametrize("case", [0, 1, 2])
def test_one_update_of_rigl_is_that_of_the_vectors(pruning_vectors, case):
    vector = pruning_vectors["rigl_step"]
    expected = vector["cases"][case]
    model = nn.Sequential(nn.Linear(12, 1, bias=False))
    model[0].weight.data = torch.tensor([vector["w"]])
    optimizer = optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    share = expected["k"] / sum(vector["mask"]) + 1e-9
    sparsifier = RigL(0.5, 8, every=1, alpha=share, anneal="constant", initial="magnitude", end=8)
    sparsifier.attach(model, optimizer)
    assert sparsifier.masks["0"].int().tolist() == [vector["mask"]]
    sparsifier.step = 1
    optimizer.state[model[0].weight]["momentum_buffer"] = torch.tensor([vector["momentum"]]) * sparsifier.masks["0"]
    model[0].weight.grad = torch.tensor([vector["dense_grad"]])
    if expected["k"] == 0:
        assert not sparsifier._on_gradients()  # nothing to exchange: an ordinary step
        return
    optimizer.step()
    weight, buffer = model[0].weight.detach(), optimizer.state[model[0].weight]["momentum_buffer"]
    assert sparsifier.masks["0"].int().tolist() == [expected["new_mask"]]
    assert torch.equal(weight, torch.tensor([expected["new_w"]]))
    live = sparsifier.masks["0"]
    assert torch.equal(buffer * live, torch.tensor([expected["new_momentum"]]))


def test_the_share_that_moves_follows_the_cosine_of_the_vectors(pruning_vectors):
    vector = pruning_vectors["rigl_drop"]
    cosine = RigL(0.9, 32_000, every=50, end=25_000, first_update_at_zero=True)
    constant = RigL(0.9, 32_000, end=25_000, anneal="constant", first_update_at_zero=True)
    for step, share in vector["cosine"]:
        assert cosine.fraction(step) == pytest.approx(share, abs=1e-12, rel=1e-9)
    assert [constant.fraction(step) for step in (0, 100, 150, 25_000, 25_100)] == [0.3, 0.3, 0.0, 0.3, 0.0]
    assert RigL(0.9, 32_000).fraction(0) == 0.0
    assert RigL(0.9, 32_000).end == 24_000


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["momentum", "adam", "adamw"])
def test_an_update_of_rigl_replaces_the_optimizer_step(name, packed):
    model, optimizer, sparsifier = attached(RigL(0.7, 40, every=4, packed=packed), name)
    train(model, optimizer, range(4))
    masks = sparsifier.masks
    assert sparsifier._supports.packed_layers == []  # the next step shows dense gradients
    weights, state = copied(model, optimizer)
    counters = [s["step"] for s in state.values() if "step" in s]
    gradients_of(model, [4])
    dense = {n: model.get_submodule(n).weight.grad.clone() for n in masks}
    optimizer.step()
    assert sparsifier.step == 5
    assert bool(sparsifier._supports.packed_layers) == packed
    assert [s["step"] for s in optimizer.state_dict()["state"].values() if "step" in s] == counters
    moved = 0
    for key, value in model.state_dict().items():
        if key.removesuffix(".weight") not in masks:
            if "running" not in key and "tracked" not in key:
                assert torch.equal(value, weights[key]), key  # biases and norms were not trained
            continue
        old, new = masks[key.removesuffix(".weight")], sparsifier.masks[key.removesuffix(".weight")]
        assert int(old.sum()) == int(new.sum())
        assert torch.equal(value, torch.where(old & new, weights[key], 0.0))
        grown = new & ~old
        moved += int(grown.sum())
        if grown.any():  # every grown weight has a larger gradient than every weight that stayed dead
            gradient = dense[key.removesuffix(".weight")].abs()
            assert gradient[grown].min() >= gradient[~new & ~old].max()
            assert weights[key][old & ~new].abs().max() <= weights[key][old & new].abs().max()
    assert moved > 10
    train(model, optimizer, range(5, 6))
    assert any(bool((model.state_dict()[key] != weights[key]).any()) for key in weights)


@pytest.mark.parametrize("packed", [True, False])
def test_newly_grown_weights_start_with_the_state_of_a_new_weight(packed):
    model, optimizer, sparsifier = attached(RigL(0.7, 40, every=4, packed=packed), "adam")
    train(model, optimizer, range(4))
    old = sparsifier.masks
    train(model, optimizer, range(4, 5))
    for name, mask in sparsifier.masks.items():
        layer = model.get_submodule(name)
        for key in ("exp_avg", "exp_avg_sq"):
            value = optimizer.state[layer.weight][key]
            value = layer.pattern.unpack(value) if packed else value
            assert not value[mask & ~old[name]].any()
            assert bool(value[mask & old[name]].any())


def test_rigl_is_the_algorithm_written_out_by_hand():
    """Algorithm 1 of the paper as a loop of its own, with SGD and momentum written out and sorts for selection."""
    model, optimizer, sparsifier = attached(RigL(0.7, 40, every=5, packed=False))
    twin = mlp()
    layers = {n: twin.get_submodule(n) for n in sparsifier.masks}
    masks = {n: mask.clone() for n, mask in sparsifier.masks.items()}
    buffers = {p: torch.zeros_like(p) for p in twin.parameters()}
    with torch.no_grad():
        for n, layer in layers.items():
            layer.weight.mul_(masks[n])
    for step in range(40):
        gradients_of(twin, [step])
        with torch.no_grad():
            if step in (5, 10, 15, 20, 25):
                share = 0.15 * (1 + torch.cos(torch.tensor(torch.pi * step / 30, dtype=torch.float64)).item())
                for n, layer in layers.items():
                    weight, mask = layer.weight.view(-1), masks[n].view(-1)
                    count = int(share * int(mask.sum()))
                    live = sorted(mask.nonzero().flatten().tolist(), key=lambda i: (-abs(weight[i].item()), i))
                    kept = set(live[: len(live) - count])
                    others = [i for i in range(len(mask)) if i not in kept]
                    grad = layer.weight.grad.view(-1)
                    grown = sorted(others, key=lambda i: (-abs(grad[i].item()), i))[:count]
                    new = torch.zeros_like(mask)
                    new[[*kept, *grown]] = True
                    weight[~(mask & new)] = 0.0
                    buffers[layer.weight].view(-1)[~(mask & new)] = 0.0
                    masks[n] = new.view(layer.weight.shape)
                continue
            for n, layer in layers.items():
                layer.weight.grad.mul_(masks[n])
            for p in twin.parameters():
                buffers[p].mul_(0.9).add_(p.grad + 1e-2 * p)
                p.sub_(0.05 * buffers[p])
    train(model, optimizer, range(40))
    assert [event["step"] for event in sparsifier.events] == [0, 5, 10, 15, 20, 25]
    assert all(torch.equal(mask, masks[n]) for n, mask in sparsifier.masks.items())
    assert_same_state(model, twin, rtol=1e-4, atol=1e-6)


def test_accumulated_gradients_choose_the_new_weights():
    masks = []
    for split in (False, True):
        model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 4)).double()
        torch.manual_seed(0)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
        optimizer = optim.SGD(model.parameters(), lr=0.05)
        sparsifier = RigL(0.7, 40, every=1, end=1).attach(model, optimizer)
        sparsifier.step, sparsifier.end = 1, 40
        inputs, labels = batch(0)
        parts = [(inputs[:16], labels[:16]), (inputs[16:], labels[16:])] if split else [(inputs, labels)]
        for part, target in parts:
            (F.cross_entropy(model(part.double()), target, reduction="sum") / 32).backward()
        optimizer.step()
        masks.append(sparsifier.masks)
        assert len(sparsifier.events) == 2
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


def test_masking_before_clipping_does_not_hide_the_gradients_from_the_update():
    models = []
    for clip in (True, False):
        model, optimizer, sparsifier = attached(RigL(0.7, 40, every=4))
        for step in range(9):
            gradients_of(model, [step])
            if clip:
                sparsifier.mask_gradients()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1e6)  # leaves the values as they are
                sparsifier.mask_gradients()
            optimizer.step()
        models.append(model)
        assert len(sparsifier.events) == 3
        assert sparsifier.events[-1]["iou"] < 1.0
    assert_same_state(*models)


def test_kept_gradients_of_a_step_that_was_not_taken_are_not_used():
    model, optimizer, sparsifier = attached(RigL(0.7, 40, every=4))
    twin, other, second = attached(RigL(0.7, 40, every=4))
    train(model, optimizer, range(4))
    train(twin, other, range(4))
    gradients_of(model, [99])
    sparsifier.mask_gradients()  # and then the loop decides against this step, as a loss scaler does
    for net, own in ((model, optimizer), (twin, other)):
        gradients_of(net, [4])
        own.step()
    assert all(torch.equal(mask, second.masks[name]) for name, mask in sparsifier.masks.items())


@pytest.mark.parametrize("make", [OPTIMIZERS["momentum"], OPTIMIZERS["adam"]])
def test_a_closure_is_a_step_like_any_other(make):
    models = []
    for closed in (True, False):
        model = mlp()
        optimizer = make(model.parameters())
        sparsifier = RigL(0.7, 40, every=3, packed=True).attach(model, optimizer)
        for step in range(10):

            def closure(step=step, model=model, optimizer=optimizer):
                optimizer.zero_grad()
                inputs, labels = batch(step)
                loss = F.cross_entropy(model(inputs), labels)
                loss.backward()
                return loss

            if closed:
                assert optimizer.step(closure).item() > 0
            else:
                closure()
                optimizer.step()
        models.append(model)
        assert len(sparsifier.events) == 4
    assert_same_state(*models)


@pytest.mark.filterwarnings("ignore::tamis.methods.UnknownStateWarning")  # LBFGS keeps flat state
def test_a_closure_that_is_called_many_times_updates_once():
    model = mlp()
    optimizer = optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    sparsifier = RigL(0.7, 40, every=2, packed=False).attach(model, optimizer)

    def closure():
        gradients_of(model, [0])
        return torch.tensor(1.0)

    for _ in range(5):
        optimizer.step(closure)
        for name, mask in sparsifier.masks.items():
            assert not model.get_submodule(name).weight[~mask].any()
    assert [event["step"] for event in sparsifier.events] == [0, 2, 4]


def test_learning_rate_schedules_and_frozen_layers_keep_working():
    model = mlp()
    model[0].weight.requires_grad_(False)
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    sparsifier = RigL(0.7, 20, every=3).attach(model, optimizer)
    frozen = sparsifier.masks["0"]
    train(model, optimizer, range(20), after=lambda step: scheduler.step())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)
    assert torch.equal(sparsifier.masks["0"], frozen)
    assert sparsifier.events[-1]["layers"]["3"]["mask_change_percent"] > 0


def test_an_optimizer_step_without_gradients_updates_nothing():
    _, optimizer, sparsifier = attached(RigL(0.7, 40, every=1, first_update_at_zero=True))
    optimizer.step()
    assert len(sparsifier.events) == 1


def test_a_replayed_update_changes_masks_as_it_did_before():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = RigL(0.8, 20, every=5, packed=False).attach(model, optimizer)
    train(model, optimizer, range(5))
    saved = copy.deepcopy((sparsifier.state_dict(), model.state_dict(), optimizer.state_dict()))
    outcomes = []
    for _ in range(2):
        train(model, optimizer, [5])
        outcomes.append((len(sparsifier.events), sparsifier.events[-1]["hash"]))
        for part, state in zip((sparsifier, model, optimizer), saved, strict=True):
            part.load_state_dict(copy.deepcopy(state))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == 2
