"""What going back to an earlier step brings back: weights, buffers, the optimizer's state; and what it leaves."""

from __future__ import annotations

import copy
import json
from itertools import accumulate

import pytest
import torch
from method_runs import OPTIMIZERS, assert_same_state, attached, batch, convnet, live_counts, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.methods import LRR, LTHT, LotteryTicket
from tamis.nn import is_packed
from tamis.sparsity import Global, keep_count, top_k_masks_global

NAMES = ("0", "3", "5")


def by_hand(name, lengths, counts, rewind_to, rewind, steps):
    """Levels without the library: restarts of training with a new optimizer, masks multiplied in."""
    model = mlp()
    optimizer = OPTIMIZERS[name](model.parameters())
    masks, saved, begins = {}, copy.deepcopy(model.state_dict()), [0, *accumulate(lengths[:-1])]
    for step in range(steps):
        if step in begins[1:]:
            scores = {n: model.get_submodule(n).weight.detach().abs() for n in NAMES}
            if masks:
                scores = {n: s.masked_fill(~masks[n], -1.0) for n, s in scores.items()}
            masks = top_k_masks_global(scores, counts[begins.index(step) - 1])
            if rewind:
                model.load_state_dict(saved)
            optimizer = OPTIMIZERS[name](model.parameters())
            with torch.no_grad():
                for n, mask in masks.items():
                    model.get_submodule(n).weight.masked_fill_(~mask, 0.0)
        inputs, labels = batch(step)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        for n, mask in masks.items():
            model.get_submodule(n).weight.grad.masked_fill_(~mask, 0.0)
        optimizer.step()
        with torch.no_grad():
            for n, mask in masks.items():
                model.get_submodule(n).weight.masked_fill_(~mask, 0.0)
        if step + 1 == rewind_to:
            saved = copy.deepcopy(model.state_dict())
    return model


@pytest.mark.parametrize("name", ["momentum", "adam", "adagrad"])
@pytest.mark.parametrize(("method", "rewind"), [(LotteryTicket, 0), (LotteryTicket, 2), (LRR, 0)])
def test_a_run_equals_restarts_of_training_by_hand(method, rewind, name):
    make = method(0.7, steps_per_level=6, rewind_step=rewind, distribution=Global(floor=0.0), packed=False)
    model, optimizer, sparsifier = attached(make, name)
    train(model, optimizer, range(sparsifier.total_steps))
    counts = live_counts(sparsifier)
    lengths = [6] + [6 - rewind] * sparsifier.levels
    assert sparsifier.total_steps == sum(lengths)
    twin = by_hand(name, lengths, counts, rewind, method is LotteryTicket, sum(lengths))
    assert_same_state(model, twin)


def test_eight_weights_go_back_to_where_they_were_at_the_rewind_step():
    model = nn.Sequential(nn.Linear(8, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]))
        model[0].bias.fill_(0.25)
    optimizer = optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    sparsifier = LotteryTicket(0.5, steps_per_level=3, rewind_step=1, fraction=0.5).attach(model, optimizer)

    def step(weight, bias):
        model[0].weight.grad, model[0].bias.grad = torch.tensor([weight]), torch.tensor([bias])
        optimizer.step()

    step([2.0] * 8, 0.25)
    assert model.state_dict()["0.weight"].tolist() == [[6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0]]
    step([4.0, 3.0, 2.0, 1.0, 4.0, 5.0, 6.0, 7.0], 0.0)  # momentum adds 1
    assert model.state_dict()["0.weight"].tolist() == [[1.0, 1.0, 1.0, 1.0, -3.0, -5.0, -7.0, -9.0]]
    step([-2.5, -2.0, -1.5, -1.0, -2.5, -3.0, -3.5, -4.0], 0.0)  # stops the momentum
    assert sparsifier.masks["0"].int().tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert model.state_dict()["0.weight"].tolist() == [[0.0, 0.0, 0.0, 0.0, 2.0, 1.0, 0.0, -1.0]]
    assert model[0].bias.tolist() == [0.0]
    assert optimizer.state == {}
    assert (sparsifier.level, sparsifier.schedule_step) == (1, 1)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["momentum", "adamw", "amsgrad", "adagrad", "rprop"])
def test_a_rewind_brings_back_parameters_buffers_and_a_fresh_optimizer(name, packed):
    model = mlp()
    model[1].register_buffer("unsaved", torch.zeros(3), persistent=False)
    fresh = copy.deepcopy(OPTIMIZERS[name](model.parameters()).state_dict()["state"])
    model, optimizer, sparsifier = attached(LotteryTicket(0.6, steps_per_level=5, packed=packed), name, model)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    for level in range(1, sparsifier.levels + 1):
        train(model, optimizer, range(5 * (level - 1), 5 * level - 1))
        model[1].unsaved.fill_(7.0)
        assert not torch.equal(model[1].running_mean, start["1.running_mean"])
        train(model, optimizer, range(5 * level - 1, 5 * level))
        masks, now = sparsifier.masks, model.state_dict()
        assert [is_packed(model[i]) for i in (0, 3, 5)] == [packed] * 3
        for key, value in start.items():
            layer = key.removesuffix(".weight")
            expected = value * masks[layer] if layer in masks and key.endswith(".weight") else value
            assert torch.equal(now[key], expected), key
        assert not model[1].unsaved.any()
        stored = optimizer.state_dict()["state"]
        assert stored.keys() == fresh.keys()
        for position, values in fresh.items():
            for key, value in values.items():
                found = stored[position][key]
                expected = value
                if packed and value.dim() and position in (0, 4, 6):
                    expected = value[masks[{0: "0", 4: "3", 6: "5"}[position]]]
                assert torch.equal(found, expected)


@pytest.mark.parametrize("reset", [True, False])
def test_learning_rate_rewinding_keeps_the_weights(reset):
    model, optimizer, sparsifier = attached(LRR(0.5, steps_per_level=4, reset_optimizer=reset, packed=False))
    train(model, optimizer, range(3))
    before = {}
    sparsifier.before_change(lambda s: before.update({k: v.clone() for k, v in model.state_dict().items()}))
    train(model, optimizer, range(3, 4))
    masks, now = sparsifier.masks, model.state_dict()
    for key, value in before.items():
        layer = key.removesuffix(".weight")
        expected = value * masks[layer] if layer in masks and key.endswith(".weight") else value
        assert torch.equal(now[key], expected), key
    assert (len(optimizer.state) == 0) == reset


def test_tickets_for_transfer_prune_the_convolutions_but_the_first_and_go_back_to_the_pretrained_weights():
    model = nn.Sequential(*convnet(), nn.Linear(4, 4))
    model.insert(5, nn.Conv2d(8, 8, 1, bias=False))
    pretrained = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = LTHT(0.6, steps_per_level=3).attach(model, optimizer)
    train(model, optimizer, range(sparsifier.starts[-1]), (2, 6, 6))
    assert list(sparsifier.masks) == ["3", "5"]
    assert live_counts(sparsifier)[-1] == keep_count(576 + 64, 0.6)
    for key, value in model.state_dict().items():
        mask = sparsifier.masks.get(key.removesuffix(".weight")) if key.endswith(".weight") else None
        assert torch.equal(value, pretrained[key] if mask is None else pretrained[key] * mask), key


def test_the_copy_to_go_back_to_comes_from_the_checkpoint_also_before_attach():
    def make():
        return LotteryTicket(0.5, steps_per_level=4, rewind_step=2)

    model, optimizer, first = attached(make())
    train(model, optimizer, range(3))
    saved = first.state_dict()
    twin = mlp(seed=3)
    other = OPTIMIZERS["momentum"](twin.parameters())
    second = make()
    second.load_state_dict({"tensors": dict(saved["tensors"]), "json": json.loads(json.dumps(saved["json"]))})
    second.attach(twin, other)
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(3, first.total_steps):
        train(model, optimizer, [step])
        train(twin, other, [step])
        assert_same_state(model, twin)
