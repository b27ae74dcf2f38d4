from dataclasses import replace

import pytest
import torch

from tamis.train import Recipe, learning_rate
from tamis.train._learning_rate import build_optimizer, set_learning_rate
from tamis.train._recipe import Optimizer, Schedule


@pytest.mark.parametrize("epochs", [100, 200])
def test_cosine_with_warm_up_has_the_published_values(pruning_vectors, epochs):
    vectors = pruning_vectors["acdc_lr"]
    schedule = Schedule(kind="cosine", warmup_epochs=vectors["warmup_epochs"])
    for epoch, expected in vectors[f"E{epochs}"]:
        # The vectors carry twelve digits.
        assert learning_rate(schedule, vectors["base"], epoch, epochs) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("key", ["cifar100_step", "cifar10_memorisation_step"])
def test_steps_reduce_the_rate_after_the_named_epochs(pruning_vectors, key):
    vectors = pruning_vectors["acdc_lr"][key]
    first = vectors["first_epoch_with_reduced_lr"]
    schedule = Schedule(kind="step", step_epochs=tuple(e - 1 for e in first), factor=vectors["factor"])
    for count, epoch in enumerate(first):
        before = learning_rate(schedule, vectors["base"], epoch - 1, 200)
        after = learning_rate(schedule, vectors["base"], epoch, 200)
        assert before == vectors["base"] * vectors["factor"] ** count
        assert after == vectors["base"] * vectors["factor"] ** (count + 1)


def test_constant_stays():
    assert {learning_rate(Schedule(kind="constant"), 0.3, e, 5) for e in range(5)} == {0.3}


def test_a_rate_is_set_in_every_group():
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_constants_of_a_recipe_reach_the_optimizer(name, kind):
    options = replace(Recipe().optimizer, name=name, lr=0.02, weight_decay=0.03, momentum=0.7, beta1=0.6, beta2=0.8)
    optimizer = build_optimizer(options, [torch.nn.Parameter(torch.zeros(2))])
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.03)
    if name == "sgd":
        assert group["momentum"] == 0.7
    else:
        assert group["betas"] == (0.6, 0.8)


def test_nesterov_reaches_sgd():
    optimizer = build_optimizer(Optimizer(nesterov=True), [torch.nn.Parameter(torch.zeros(2))])
    assert optimizer.param_groups[0]["nesterov"] is True
