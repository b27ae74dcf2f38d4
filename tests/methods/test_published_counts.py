"""Numbers that papers and official code print, and the quick checks of the specification, from the public functions."""

from __future__ import annotations

import re

import pytest
import torch

from tamis.sparsity import (
    ERK,
    NM,
    LayerCost,
    Uniform,
    acdc_cost,
    cosine_decay,
    cubic,
    forward_flops,
    forward_fraction,
    keep_count,
    preset,
    rigl_cost,
    select_masks,
    soft_threshold,
    update_count,
)


@pytest.fixture(scope="module")
def resnet50(pruning_vectors):
    """Empty scores and costs of the 54 prunable layers."""
    layers = pruning_vectors["resnet50"]["layers"]
    scores = {name: torch.empty(shape, device="meta") for name, shape, *_ in layers}
    return scores, [LayerCost(name, tuple(shape), side * side) for name, shape, side, *_ in layers]


def test_quick_check_of_the_count():
    assert keep_count(9408, 0.9) == 941


def test_quick_check_of_erk_on_resnet50(resnet50):
    scores, _ = resnet50
    fractions = ERK().solve({name: tuple(t.shape) for name, t in scores.items()}, 0.9).live_fractions
    assert round(fractions["conv1"], 4) == 0.42
    assert fractions["layer1.0.conv1"] == 1.0
    counts = ERK().keep_counts(scores, 0.9)
    # every layer rounds its zeros down twice: once in the equation, once in its count
    assert 0 <= sum(counts.values()) - keep_count(25_502_912, 0.9) < 2 * len(counts)


def test_quick_checks_of_the_schedules(pruning_vectors):
    assert cubic(0.5, 0, 1, 0.0, 0.9) == 0.7875
    golden = pruning_vectors["rigl_drop"]
    assert cosine_decay(12_500, 0, golden["T_end"], golden["alpha0"]) == pytest.approx(0.15, rel=1e-12)
    assert update_count(1881, 0.15) == 282


def test_quick_check_of_the_soft_threshold():
    weight, logit = torch.tensor([0.2], dtype=torch.float64), torch.tensor(-2.0, dtype=torch.float64)
    assert round(0.2 - float(soft_threshold(weight, logit)), 4) == 0.1192


def test_quick_check_of_two_of_four():
    scores = {"w": torch.tensor([[0.1, -0.4, 0.3, 0.2]]).abs()}
    assert select_masks(scores, 0.5, pattern=NM(2, 4))["w"].int().tolist() == [[0, 1, 1, 0]]


def test_resnet50_has_the_published_size(pruning_vectors, resnet50):
    scores, costs = resnet50
    assert len(scores) == 54
    assert sum(cost.weights for cost in costs) == pruning_vectors["resnet50"]["weights"] == 25_502_912
    assert forward_flops(costs) == 2 * pruning_vectors["resnet50"]["macs"]


def sparse_forward(resnet50, method, sparsity):
    scores, costs = resnet50
    if "uniform" in method:
        return forward_fraction(costs, Uniform(first_dense=True).keep_counts(scores, sparsity))
    dense = ("conv1",) if sparsity == 0.99 else ()  # as published, the first layer is dense at 99 %
    return forward_fraction(costs, ERK(dense=dense).keep_counts(scores, sparsity))


def test_all_published_rigl_costs_of_resnet50_are_met(pruning_vectors, resnet50):
    interval = pruning_vectors["rigl_drop"]["delta_t"]
    rows = [
        row
        for row in pruning_vectors["published"]["rows"]
        if row["arch"] == "ResNet50" and row["method"].startswith("RigL") and "inference_flops" in row
    ]
    assert len(rows) == 22
    for row in rows:
        sparse = sparse_forward(resnet50, row["method"], row["sparsity"])
        longer = int(re.search(r"(\d+)x", row["method"])[1])
        # printed with two digits, and small operations add 0.003 of the dense model per 1x
        assert abs(sparse - row["inference_flops"]) <= 0.005 + 0.003, row
        train = longer * rigl_cost(sparse, interval)
        assert abs(train - row["train_flops"]) <= max(0.05 * row["train_flops"], 0.005 + 0.003 * longer), row


def test_the_cost_of_the_published_str_model_agrees_between_its_two_sources(pruning_vectors):
    (row,) = (
        r for r in pruning_vectors["published"]["rows"] if r["method"] == "STR 100 ep" and r["sparsity"] == 0.9023
    )
    fraction = 1e6 * row["inference_mmacs"] / pruning_vectors["resnet50"]["macs"]
    assert round(fraction, 3) == pruning_vectors["inference_flops_fraction_resnet50_90"]["STR"]


def test_published_acdc_costs_are_at_most_the_mask_based_ones(pruning_vectors):
    published = pruning_vectors["published"]
    inference = dict(published["acdc_inference_flops_fraction"]["rows"])
    training = dict(published["acdc_train_flops_fraction"]["rows"])
    simple = pruning_vectors["train_flops_fraction"]["acdc_simple"]
    assert {row["sparsity"]: row["f_S"] for row in simple} == inference
    for row in simple:
        by_masks = acdc_cost(preset("imagenet_100").phases(), inference[row["sparsity"]])
        assert training[row["sparsity"]] <= by_masks + 0.006  # exact zeros in dense phases can only lower it
    assert training[0.98] < acdc_cost(preset("imagenet_100").phases(), inference[0.98]) - 0.05


def test_the_published_cost_of_gradual_pruning_is_three_sparse_passes(pruning_vectors):
    golden = pruning_vectors["train_flops_fraction"]
    published = next(
        value for key, value in next(v for k, v in golden.items() if k.startswith("published")).items() if "GMP" in key
    )
    assert abs(golden["gmp_80_uniform"]["mean_forward_fraction_over_step0"] - published) <= 0.005
