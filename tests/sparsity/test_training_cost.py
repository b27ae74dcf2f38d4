"""Training FLOPs of each method relative to dense training."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import (
    ERK,
    LayerCost,
    Uniform,
    acdc_cost,
    cubic,
    dense_gradient_cost,
    forward_fraction,
    gmp_events,
    gradual_cost,
    keep_count,
    measured_cost,
    preset,
    rigl_cost,
    static_cost,
    topkast_cost,
)

EIGHT_DIGITS = 1e-7  # the vectors print eight, of f_S as well as of the results


def test_each_row_of_the_golden_table_is_reproduced(pruning_vectors):
    rows = pruning_vectors["train_flops_fraction"]["rows"]
    assert len(rows) == 6
    for row in rows:
        sparse = row["f_S"]
        assert static_cost(sparse) == row["static_or_SET"]
        assert dense_gradient_cost(sparse) == pytest.approx(row["SNFS"], rel=EIGHT_DIGITS)
        assert dense_gradient_cost(sparse) == pytest.approx(row["DPF_STE"], rel=EIGHT_DIGITS)
        assert rigl_cost(sparse, 100) == pytest.approx(row["RigL_dT100_all_steps"], rel=EIGHT_DIGITS)
        assert rigl_cost(sparse, 100, 25 / 32) == pytest.approx(row["RigL_dT100_stop_25k_of_32k"], rel=EIGHT_DIGITS)
        assert 5 * rigl_cost(sparse, 100) == pytest.approx(row["RigL_5x_all_steps"], rel=EIGHT_DIGITS)


def test_sparse_forward_costs_of_the_golden_table_follow_from_the_layer_table(pruning_vectors):
    layers = pruning_vectors["resnet50"]["layers"]
    scores = {name: torch.empty(shape, device="meta") for name, shape, *_ in layers}
    costs = [LayerCost(name, tuple(shape), side * side) for name, shape, side, *_ in layers]
    for row in pruning_vectors["train_flops_fraction"]["rows"]:
        distribution = ERK() if row["distribution"] == "erk" else Uniform(first_dense=True)
        live = distribution.keep_counts(scores, row["s"])
        assert forward_fraction(costs, live) == pytest.approx(row["f_S"], rel=2e-4)  # whole counts round up


def test_published_rigl_fractions_are_met_within_what_small_operations_add(pruning_vectors):
    golden = pruning_vectors["train_flops_fraction"]
    published = golden["published (source: google-research/rigl @d39fc7d README)"]
    rows = {(row["distribution"], row["s"]): row["f_S"] for row in golden["rows"]}
    once = {
        (row["method"], row["sparsity"]): row["train_flops"]
        for row in pruning_vectors["published"]["rows"]
        if row["arch"] == "ResNet50" and row["method"] in ("RigL ERK 1x", "RigL uniform 1x")
    }
    assert len(once) >= 4
    for (method, sparsity), fraction in once.items():
        sparse = rows["erk" if "ERK" in method else "uniform_first_dense", sparsity]
        assert abs(rigl_cost(sparse, 100) - fraction) <= 0.006
    for distribution, inference, training in (
        ("erk", "inference ERK .8/.9/.95/.965/.99", "train 5x ERK .8/.9/.95"),
        ("uniform_first_dense", "inference uniform .8/.9/.95/.965", "train 5x uniform .8/.9/.95"),
    ):
        for i, sparsity in enumerate((0.8, 0.9, 0.95)):
            sparse = rows[distribution, sparsity]
            # printed with two digits, and 0.003 of the dense cost are small operations
            assert abs(static_cost(sparse) - published[inference][i]) <= 0.005 + 0.003
            assert 5 * rigl_cost(sparse, 100) == pytest.approx(published[training][i], rel=0.05)


def test_topkast_rows_are_reproduced(pruning_vectors):
    for row in pruning_vectors["train_flops_fraction"]["topkast"]:
        assert topkast_cost(row["f_A"], row["f_B"]) == pytest.approx(row["train"], rel=1e-12)


def test_acdc_rows_are_reproduced_from_the_phases(pruning_vectors):
    phases = preset("imagenet_100").phases()
    for row in pruning_vectors["train_flops_fraction"]["acdc_simple"]:
        assert acdc_cost(phases, row["f_S"]) == pytest.approx(row["train"], rel=1e-12)
        weights = [(row["dense_epochs"], 1.0), (row["sparse_epochs"], row["f_S"])]
        assert measured_cost(weights) == pytest.approx(row["train"], rel=1e-12)


def test_exact_zeros_in_dense_phases_lower_the_measured_cost():
    phases = preset("imagenet_100").phases()
    measured = measured_cost((phase.length, 0.18 if phase.kind == "sparse" else 0.9) for phase in phases)
    assert measured == pytest.approx(0.54)
    assert measured < acdc_cost(phases, 0.18)


def test_gradual_pruning_of_resnet50_reproduces_the_golden_mean(pruning_vectors):
    golden = pruning_vectors["train_flops_fraction"]["gmp_80_uniform"]["mean_forward_fraction_over_step0"]
    layers = pruning_vectors["resnet50"]["layers"]
    costs = [LayerCost(name, tuple(shape), side * side) for name, shape, side, *_ in layers]
    fractions = []
    for step in range(0, 32_001, 1000):
        sparsity = cubic(step, 10_000, 25_000, 0.0, 0.8)
        live = {
            cost.name: keep_count(cost.weights, {"conv1": 0.0, "fc": 0.8}.get(cost.name, sparsity)) for cost in costs
        }
        fractions.append(forward_fraction(costs, live))
    # the vector divides by the cost of step 0, at which the last layer is sparse already
    assert gradual_cost(fractions) / fractions[0] == pytest.approx(golden, rel=2e-5)
    assert [event.step for event in gmp_events(10_000, 25_000, 1000, 0.0, 0.8)] == list(range(10_000, 25_001, 1000))


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_costs_outside_zero_to_one_are_refused(bad):
    calls = (
        lambda: static_cost(bad),
        lambda: rigl_cost(bad, 100),
        lambda: rigl_cost(0.1, 100, bad),
        lambda: dense_gradient_cost(bad),
        lambda: gradual_cost([0.5, bad]),
        lambda: topkast_cost(0.1, bad),
        lambda: acdc_cost(preset("imagenet_100").phases(), bad),
        lambda: measured_cost([(1, bad)]),
    )
    for call in calls:
        with pytest.raises(UsageError, match=r"\[0, 1\]"):
            call()


def test_means_over_nothing_are_refused():
    with pytest.raises(UsageError, match="no forward cost"):
        gradual_cost([])
    for rows in ([], [(0, 0.5)], [(2, 0.5), (-1, 0.5)]):
        with pytest.raises(UsageError, match="samples"):
            measured_cost(rows)
    with pytest.raises(UsageError, match="interval"):
        rigl_cost(0.1, 0)
