"""Iterative magnitude pruning: lottery tickets, tickets for transfer, and learning-rate rewinding."""

from __future__ import annotations

import copy
import json
from itertools import accumulate

import pytest
import torch
from method_runs import OPTIMIZERS, assert_same_state, attached, batch, convnet, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import LRR, LTHT, LotteryTicket
from tamis.methods._levels import level_count
from tamis.nn import is_packed
from tamis.sparsity import NM, Global, Uniform, keep_count, top_k_masks_global

NAMES = ("0", "3", "5")


def live_counts(sparsifier):
    return [sum(row["live"] for row in event["layers"].values()) for event in sparsifier.events]


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


def test_each_level_removes_a_fifth_as_in_the_vector(pruning_vectors):
    exact = pruning_vectors["imp"]["exact_counts"]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 20, bias=False))
    assert model[0].weight.numel() == exact["n0"]
    sparsity = 1 - exact["remaining"][-1] / 1000
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    sparsifier = LotteryTicket(sparsity, steps_per_level=1, fraction=pruning_vectors["imp"]["fraction"])
    sparsifier.attach(model, optimizer)
    for _ in range(sparsifier.total_steps):
        model(torch.ones(1, 50)).sum().backward()
        optimizer.step()
    assert live_counts(sparsifier)[:12] == exact["remaining"][1:]
    assert live_counts(sparsifier)[-1] == exact["remaining"][-1]


def test_the_number_of_levels_follows_from_the_nominal_densities(pruning_vectors):
    for levels, density in enumerate(pruning_vectors["imp"]["nominal_density"]):
        assert level_count(1 - density, 0.2) == levels
        if 0 < levels < 19:
            assert level_count(1 - density + 1e-4, 0.2) == levels + 1


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.2, 0.5, 0.77, 0.9])
def test_the_last_level_hits_the_target_to_the_weight(sparsity):
    model, optimizer, sparsifier = attached(LotteryTicket(sparsity, steps_per_level=2, on_collapse="warn"))
    train(model, optimizer, range(sparsifier.total_steps))
    counts = live_counts(sparsifier)
    assert len(counts) == sparsifier.levels
    assert counts == sorted(counts, reverse=True)
    if counts:
        assert counts[-1] == keep_count(736, sparsity)
        assert sparsifier.events[-1]["target"] == sparsity


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


def test_the_schedule_starts_again_from_the_rewind_step_with_every_level():
    model, optimizer, sparsifier = attached(
        LotteryTicket(0.36, steps_per_level=5, first_steps=7, rewind_step=2, on_collapse="warn")
    )
    seen = [(sparsifier.level, sparsifier.schedule_step, sparsifier.schedule_steps)]
    train(
        model, optimizer, range(13),
        after=lambda step: seen.append((sparsifier.level, sparsifier.schedule_step, sparsifier.schedule_steps)),
    )  # fmt: skip
    assert sparsifier.starts == (0, 7, 10)
    assert seen == [
        *((0, step, 7) for step in range(7)),
        *((1, step, 5) for step in (2, 3, 4)),
        *((2, step, 5) for step in (2, 3, 4)),
        (2, 5, 5),
    ]
    train(model, optimizer, range(13, 15))
    assert sparsifier.schedule_step == 5  # a loop that goes on stays at the end of the schedule


def test_a_scheduler_of_torch_can_be_driven_by_the_level():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    sparsifier = LotteryTicket(0.36, steps_per_level=4).attach(model, optimizer)
    decay = optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1 - sparsifier.schedule_step / sparsifier.schedule_steps)
    rates = []
    for step in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        train(model, optimizer, [step])
        decay.step()
    assert rates == [1.0, 0.75, 0.5, 0.25] * 3


def test_total_steps_are_shared_out_and_level_zero_takes_the_rest():
    whole = LotteryTicket(0.9, 1205)
    assert (whole.levels, whole.steps_per_level, whole.first_steps, whole.total_steps) == (11, 100, 105, 1205)
    rewound = LotteryTicket(0.9, 1205, rewind_step=10)
    assert (rewound.steps_per_level, rewound.first_steps, rewound.total_steps) == (109, 116, 1205)
    share = LotteryTicket(0.9, 1205, rewind_step=0.1)
    assert share.rewind_step == round(0.1 * share.steps_per_level)
    assert share.total_steps == share.first_steps + 11 * (share.steps_per_level - share.rewind_step) == 1205


@pytest.mark.parametrize("method", [LotteryTicket, LRR])
def test_levels_of_a_sparse_model_keep_its_zeros(method):
    model = mlp()
    with torch.no_grad():
        model[0].weight[::2] = -0.0
    _, optimizer, sparsifier = attached(method(0.7, steps_per_level=2, from_zeros=True), model=model)
    zeros = 144
    came_back = []
    train(
        model, optimizer, range(sparsifier.total_steps),
        after=lambda step: came_back.append(bool(model.state_dict()["0.weight"][::2].any())),
    )  # fmt: skip
    assert came_back == [False] * sparsifier.total_steps
    counts = live_counts(sparsifier)
    assert counts[0] == 736 - zeros
    assert counts[1] == 736 - zeros - 119  # ceil(0.2 * 592)
    assert counts[-1] == keep_count(736, 0.7)


def test_layers_that_a_distribution_leaves_dense_are_not_counted():
    model, optimizer, sparsifier = attached(
        LotteryTicket(0.5, steps_per_level=1, distribution=Uniform(last_dense=True))
    )
    train(model, optimizer, range(sparsifier.total_steps))
    live = {name: row["live"] for name, row in sparsifier.events[-1]["layers"].items()}
    assert live == {"0": 144, "3": 192, "5": 64}


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


def test_the_preset_for_transfer_has_nineteen_levels_without_a_floor():
    made = LTHT(steps_per_level=10)
    assert (made.levels, made.distribution, made.rewind_step) == (19, Global(floor=0.0), 0)
    with pytest.raises(UsageError, match="LTHT chooses its layers itself"):
        LTHT(0.5, 10, exclude="fc")
    model = mlp()
    with pytest.raises(UsageError, match="Sequential has 0"):
        LTHT(0.5, 10).attach(model, OPTIMIZERS["sgd"](model.parameters()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": None}, "give total_steps"),
        ({"steps_per_level": 5}, "give total_steps"),
        ({"first_steps": 5}, "give total_steps"),
        ({"total_steps": 11}, "12 levels need at least one step each"),
        ({"total_steps": None, "steps_per_level": 5, "rewind_step": 5}, "rewind_step lies inside"),
        ({"total_steps": None, "steps_per_level": 5, "first_steps": 2, "rewind_step": 2}, "rewind_step lies inside"),
        ({"total_steps": None, "steps_per_level": 5, "rewind_step": -1}, "rewind_step lies inside"),
        ({"fraction": 0.0}, "fraction must be in"),
        ({"fraction": 1.0}, "fraction must be in"),
        ({"sparsity": 0.5, "pattern": NM(2, 4)}, "fixes the sparsity"),
    ],
)
@pytest.mark.parametrize("method", [LotteryTicket, LRR])
def test_choices_of_levels_that_do_not_fit_are_refused(method, arguments, message):
    with pytest.raises(UsageError, match=message):
        method(**{"sparsity": 0.9, "total_steps": 1200, **arguments})


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("method", [LotteryTicket, LRR])
def test_keys_never_change_and_copies_are_independent(method, packed):
    model, optimizer, sparsifier = attached(method(0.6, steps_per_level=3, packed=packed), "adam")
    keys = {key: value.shape for key, value in mlp().state_dict().items()}
    seen = []

    def check(step):
        seen.append({key: value.shape for key, value in model.state_dict().items()} == keys)

    train(model, optimizer, range(5), after=check)
    twin = copy.deepcopy(model)
    frozen = {key: value.clone() for key, value in twin.state_dict().items()}
    assert_same_state(model, twin)
    train(model, optimizer, range(5, sparsifier.total_steps), after=check)
    assert seen == [True] * sparsifier.total_steps
    assert all(torch.equal(frozen[key], value) for key, value in twin.state_dict().items())
    dense = {key: value.clone() for key, value in model.state_dict().items()}
    sparsifier.finalize()
    assert all(torch.equal(dense[key], value) for key, value in model.state_dict().items())


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


def test_the_ledger_charges_each_level_by_its_mask():
    model, optimizer, sparsifier = attached(LotteryTicket(0.5, steps_per_level=5, first_steps=10, rewind_step=1))
    train(model, optimizer, range(sparsifier.total_steps))
    rows = {(row["row"], row["count"]): row for row in sparsifier.ledger(torch.zeros(1, 12))}
    weighted = 10 * 736 + 4 * sum(live_counts(sparsifier))
    assert rows["training", "mask"]["fraction"] == pytest.approx(weighted / (736 * sparsifier.total_steps), rel=1e-12)
    assert rows["training", "cpu time"]["fraction"] > 0
