"""STR: thresholds that are trained with the weights."""

from __future__ import annotations

import math

import pytest
import torch
from method_runs import OPTIMIZERS, batch, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import CollapseError, UsageError
from tamis.methods import STR, CollapseWarning
from tamis.sparsity import NM, decayed_logit, keep_count, soft_threshold

NAMES = ("0", "3", "5")


def attached(name="momentum", **options):
    model = mlp()
    optimizer = OPTIMIZERS[name](model.parameters())
    return model, optimizer, STR(0.8, 20, **options).attach(model, optimizer)


def test_one_step_is_that_of_the_vectors(pruning_vectors):
    for row in pruning_vectors["str"]:
        model = nn.Sequential(nn.Linear(6, 1, bias=False, dtype=torch.float64))
        with torch.no_grad():
            model[0].weight.copy_(torch.tensor([row["w"]], dtype=torch.float64))
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        sparsifier = STR(0.5, 1, initial_logit=row["s"]).attach(model, optimizer)
        assert sparsifier.thresholds()["0"] == pytest.approx(row["threshold"], rel=1e-10)
        assert model[0].weight[0].tolist() == pytest.approx(row["w_tilde"], rel=1e-10)
        assert sum(map(int, sparsifier.masks["0"][0])) == round(row["density"] * 6)
        model[0].weight.grad = torch.tensor([row["upstream"]], dtype=torch.float64)
        optimizer.step()
        moved = [w - g for w, g in zip(row["w"], row["grad_w"], strict=True)]
        assert sparsifier.latent_weights()["0"][0].tolist() == pytest.approx(moved, rel=1e-12)
        assert float(sparsifier.logits["0"].detach()) == pytest.approx(row["s"] - row["grad_s"], rel=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_is_that_of_autograd_through_a_parametrised_model(name):
    model, optimizer, sparsifier = attached(name, initial_logit=-3.0)
    train(model, optimizer, range(8))

    twin = mlp()
    logits = {n: nn.Parameter(torch.tensor(-3.0)) for n in NAMES}
    other = OPTIMIZERS[name]([*twin.parameters(), *logits.values()])
    for step in range(8):
        inputs, labels = batch(step)
        other.zero_grad()
        weights = {f"{n}.weight": soft_threshold(twin.get_submodule(n).weight, logits[n]) for n in NAMES}
        F.cross_entropy(torch.func.functional_call(twin, weights, (inputs,)), labels).backward()
        other.step()

    latents = sparsifier.latent_weights()
    for n in NAMES:
        # sigma' is s * (1 - s) of equal numbers; only the sum over weights may be in another order
        torch.testing.assert_close(latents[n], twin.get_submodule(n).weight.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(sparsifier.logits[n].detach(), logits[n].detach(), rtol=1e-4, atol=1e-5)
        assert float(logits[n].detach()) != -3.0


def test_a_weight_that_is_exactly_zero_stays_zero_for_good():
    model = mlp()
    with torch.no_grad():
        model[3].weight[:, ::2] = 0.0
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    sparsifier = STR(0.5, 10).attach(model, optimizer)
    train(model, optimizer, range(10))
    assert not sparsifier.latent_weights()["3"][:, ::2].any()
    assert bool(sparsifier.latent_weights()["3"][:, 1::2].all())


def test_far_below_zero_the_threshold_moves_by_decay_alone_as_predicted():
    model = mlp()
    rates = [0.1 if step < 200 else 0.01 for step in range(400)]
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < 200 else 0.1)
    sparsifier = STR(0.5, 400, initial_logit=-3200.0).attach(model, optimizer)  # after the scheduler was built
    train(model, optimizer, range(400), after=lambda step: schedule.step())
    predicted = decayed_logit(-3200.0, 1e-3, rates, 0.9)
    assert predicted == pytest.approx(-3200 * math.exp(-1e-3 * 22 / 0.1))
    for logit in sparsifier.logits.values():
        assert float(logit.detach()) == pytest.approx(predicted, rel=0.01)


def test_the_thresholds_live_in_the_groups_of_their_weights_while_attached():
    model = mlp()
    slow = [model[5].weight]
    others = [p for p in model.parameters() if p is not slow[0]]
    optimizer = optim.SGD([{"params": others}, {"params": slow, "lr": 1e-4, "weight_decay": 0.0}], lr=0.1)
    sparsifier = STR(0.5, 4, initial_logit=-3.0).attach(model, optimizer)
    ids = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    assert [id(sparsifier.logits[name]) in ids[0] for name in NAMES] == [True, True, False]
    assert ids[1] == [id(slow[0]), id(sparsifier.logits["5"])]
    assert not any(p is logit for p in model.parameters() for logit in sparsifier.logits.values())
    train(model, optimizer, range(4))
    sparsifier.finalize()
    assert [len(group["params"]) for group in optimizer.param_groups] == [7, 1]
    assert len(optimizer.state) <= 8


def test_groups_of_named_parameters_name_the_thresholds_too():
    model = mlp()
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    sparsifier = STR(0.5, 4, initial_logit=-3.0).attach(model, optimizer)
    assert optimizer.state_dict()["param_groups"][0]["param_names"][-3:] == [f"{n}.threshold_logit" for n in NAMES]
    sparsifier.detach()
    assert len(optimizer.state_dict()["param_groups"][0]["param_names"]) == 8


def test_a_layer_without_a_gradient_does_not_reuse_the_last_one():
    model, optimizer, sparsifier = attached("sgd", initial_logit=-3.0)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    train(model, optimizer, range(1))
    before = {name: float(logit.detach()) for name, logit in sparsifier.logits.items()}
    model.zero_grad()  # the model's, which knows no thresholds
    optimizer.step()
    assert {name: float(logit.detach()) for name, logit in sparsifier.logits.items()} == before


@pytest.mark.parametrize("trim", [True, False])
def test_trim_cuts_to_exactly_the_sparsity_by_magnitude(trim):
    model, optimizer, sparsifier = attached(initial_logit=-4.0, trim=trim)
    train(model, optimizer, range(20))
    effective = {name: model.get_submodule(name).weight.detach().clone() for name in NAMES}
    reached = sum(int(torch.count_nonzero(weight)) for weight in effective.values())
    assert reached > keep_count(736, 0.8)
    sparsifier.finalize()
    left = {name: model.get_submodule(name).weight.detach() for name in NAMES}
    assert sum(int(torch.count_nonzero(weight)) for weight in left.values()) == (
        keep_count(736, 0.8) if trim else reached
    )
    for name in NAMES:
        kept = left[name] != 0
        assert torch.equal(left[name][kept], effective[name][kept])
    if trim:
        assert sparsifier.report()["sparsity"] == 1 - keep_count(736, 0.8) / 736
        assert sparsifier.events[-1]["target"] == 0.8


def test_trim_leaves_a_sparser_model_as_it_is():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = STR(0.1, 4, initial_logit=-2.5, trim=True).attach(model, optimizer)
    train(model, optimizer, range(4))
    effective = {name: model.get_submodule(name).weight.detach().clone() for name in NAMES}
    assert sparsifier.events[-1]["sparsity"] > 0.1
    sparsifier.finalize()
    assert all(torch.equal(model.get_submodule(name).weight, effective[name]) for name in NAMES)


def test_a_layer_below_its_threshold_is_a_collapse():
    model = mlp()
    with pytest.raises(CollapseError, match="no weight survives the threshold in 0, 3, 5, for good: use less"):
        STR(0.5, 4, initial_logit=0.0).attach(model, OPTIMIZERS["sgd"](model.parameters()))
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    assert len(optimizer.param_groups[0]["params"]) == 8
    with pytest.warns(CollapseWarning):
        STR(0.5, 4, initial_logit=0.0, on_collapse="warn").attach(model, optimizer)


def test_choices_and_optimizers_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="a threshold knows no pattern"):
        STR(0.5, 4, pattern=NM(2, 4))
    with pytest.raises(UsageError, match="initial_logit must be a finite number"):
        STR(0.5, 4, initial_logit=-math.inf)
    model = nn.Sequential(nn.Linear(4, 4, bias=False))
    with pytest.raises(UsageError, match="Muon trains matrices only"):
        STR(0.5, 4).attach(model, optim.Muon(model.parameters()))
    model = mlp()
    optimizer = optim.SGD([p for p in model.parameters() if p is not model[5].weight], 0.1)
    model[5].weight.requires_grad_(False)  # frozen, which other methods allow
    with pytest.raises(UsageError, match=r"does not train the weight beside 5\.threshold_logit"):
        STR(0.5, 4).attach(model, optimizer)
    assert len(optimizer.param_groups[0]["params"]) == 7
    STR(0.5, 4, exclude="5").attach(model, optimizer)
