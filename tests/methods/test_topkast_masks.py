"""The two masks of Top-KAST: how many weights, which ones, what they cost, and choices that do not fit."""

from __future__ import annotations

import pytest
import torch
from latent_runs import latent
from method_runs import OPTIMIZERS, attached, convnet, mlp, train

from tamis.errors import UsageError
from tamis.methods import PowerPropagation, TopKAST, measure_layer_costs
from tamis.sparsity import ERK, NM, Block, Global, Uniform, forward_fraction, topkast_cost


def test_masks_are_the_largest_latent_weights_at_every_refresh():
    model, optimizer, sparsifier = attached(TopKAST(0.8, every=2, packed=True))
    for step in range(12):
        train(model, optimizer, [step])
        if sparsifier.step % 2 == 0:
            for n, weight in latent(sparsifier).items():
                for mask in (sparsifier.masks[n], sparsifier.gradient_masks[n]):
                    assert weight.abs()[mask].min() >= weight.abs()[~mask].max()
    assert len(sparsifier.events) == 7
    assert sparsifier.events[-1]["regrown_share"] > 0.0


@pytest.mark.parametrize("distribution", [Uniform(first_dense=True), ERK(), Global(), Global(floor=0.0)])
@pytest.mark.parametrize("packed", [True, False])
def test_counts_are_exact_under_every_distribution(distribution, packed):
    _, _, sparsifier = attached(
        TopKAST(0.8, backward_sparsity=0.5, distribution=distribution, packed=packed, on_collapse="warn")
    )
    scores = {n: weight.abs() for n, weight in latent(sparsifier).items()}
    for masks, sparsity in ((sparsifier.masks, 0.8), (sparsifier.gradient_masks, 0.5)):
        assert {n: int(mask.sum()) for n, mask in masks.items()} == distribution.keep_counts(scores, sparsity)


def test_blocks_are_kept_whole():
    _, _, sparsifier = attached(TopKAST(0.8, backward_sparsity=0.5, pattern=Block(2, 2)))
    for masks in (sparsifier.masks, sparsifier.gradient_masks):
        for mask in masks.values():
            blocks = mask.reshape(mask.shape[0] // 2, 2, -1, 2).sum(dim=(1, 3))
            assert set(blocks.unique().tolist()) <= {0, 4}


@pytest.mark.parametrize("distribution", [Uniform(), Global()])
@pytest.mark.parametrize("packed", [True, False])
def test_the_ledger_counts_both_masks(packed, distribution):
    model = convnet()
    _, optimizer, sparsifier = attached(
        TopKAST(0.8, backward_sparsity=0.5, every=4, packed=packed, distribution=distribution), model=model
    )
    costs = measure_layer_costs(model, torch.zeros(2, 2, 6, 6))
    steps = []

    def fractions():
        return [
            forward_fraction(costs, {n: int(mask.sum()) for n, mask in masks.items()})
            for masks in (sparsifier.masks, sparsifier.gradient_masks)
        ]

    for step in range(10):
        steps.append(topkast_cost(*fractions()))
        train(model, optimizer, [step], (2, 6, 6))
    rows = {(row["row"], row["count"]): row["fraction"] for row in sparsifier.ledger(torch.zeros(2, 2, 6, 6))}
    assert rows["forward", "mask"] == pytest.approx(fractions()[0], rel=1e-12)
    assert rows["training", "mask"] == pytest.approx(sum(steps) / len(steps), rel=1e-12)
    assert rows["training", "published"] == pytest.approx(topkast_cost(*fractions()), rel=1e-12)


def test_the_published_rows_follow_from_the_rule(pruning_vectors, monkeypatch):
    for row in pruning_vectors["train_flops_fraction"]["topkast"]:
        sparsifier = TopKAST(0.8)
        monkeypatch.setattr(sparsifier, "_trained_counts", lambda: {"b": 1})
        cost = sparsifier._published_cost({"a": 1}, lambda counts, row=row: row["f_A"] if "a" in counts else row["f_B"])
        assert cost == pytest.approx(row["train"], rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reparameterise": PowerPropagation(2.0)}, "latent weights of its own"),
        ({"backward_sparsity": 0.95}, "must contain the forward mask"),
        ({"backward_sparsity": 1.0}, r"\[0, 1\)"),
        ({"every": 0}, "every must be"),
        ({"strength": -1.0}, "strength must be"),
        ({"strength": float("nan")}, "strength must be"),
        ({"sparsity": 0.5, "pattern": NM(2, 4)}, "needs two"),
    ],
)
def test_choices_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        TopKAST(**{"sparsity": 0.9, **arguments})


def test_the_larger_mask_has_twice_the_weights_unless_told_otherwise():
    assert TopKAST(0.95).backward_sparsity == pytest.approx(0.9)
    assert TopKAST(0.3).backward_sparsity == 0.0


def test_a_layer_without_a_forward_weight_is_trained_on_where_that_is_only_warned_of():
    model = mlp()
    with torch.no_grad():
        model[0].weight.mul_(1e-6)
    options = {"distribution": Global(floor=0.0), "on_collapse": "warn", "packed": False, "backward_sparsity": 0.3}
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    with pytest.warns(UserWarning, match="survives"):
        sparsifier = TopKAST(0.7, every=50, **options).attach(model, optimizer)
    assert not sparsifier.masks["0"].any()
    train(model, optimizer, range(3))
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
