"""The levels of iterative magnitude pruning: how many, how many weights each removes, and their schedules."""

from __future__ import annotations

import copy

import pytest
import torch
from method_runs import OPTIMIZERS, assert_same_state, attached, live_counts, mlp, train
from torch import nn, optim

from tamis.errors import UsageError
from tamis.methods import LRR, LTHT, LotteryTicket
from tamis.methods._levels import level_count
from tamis.sparsity import NM, Global, Uniform, keep_count


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


def test_the_ledger_charges_each_level_by_its_mask():
    model, optimizer, sparsifier = attached(LotteryTicket(0.5, steps_per_level=5, first_steps=10, rewind_step=1))
    train(model, optimizer, range(sparsifier.total_steps))
    rows = {(row["row"], row["count"]): row for row in sparsifier.ledger(torch.zeros(1, 12))}
    weighted = 10 * 736 + 4 * sum(live_counts(sparsifier))
    assert rows["training", "mask"]["fraction"] == pytest.approx(weighted / (736 * sparsifier.total_steps), rel=1e-12)
    assert rows["training", "cpu time"]["fraction"] > 0
