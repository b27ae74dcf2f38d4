"""ERK against the published equation's golden solutions."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import ERK, LayerCost, forward_fraction, keep_count

# the vectors print densities with ten significant digits
PRINTED = 1e-9


def resnet50_shapes(vectors):
    return {name: tuple(shape) for name, shape, *_ in vectors["resnet50"]["layers"]}


def meta_scores(shapes):
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def nominal_flops(vectors, fractions):
    """Forward FLOPs of the solution before counts are rounded to whole weights."""
    layers = vectors["resnet50"]["layers"]
    return sum(fractions[name] * macs for name, *_, macs in layers) / sum(macs for *_, macs in layers)


@pytest.mark.parametrize("sparsity", ["0.8", "0.9", "0.95"])
def test_resnet50_reproduces_equation_counts_and_flops(pruning_vectors, sparsity):
    golden = pruning_vectors["erk_resnet50"][sparsity]
    shapes = resnet50_shapes(pruning_vectors)
    solution = ERK().solve(shapes, float(sparsity))
    assert solution.epsilon == pytest.approx(golden["epsilon"], rel=PRINTED)
    assert solution.rounds == golden["rounds"]
    assert list(solution.saturated) == golden["dense_layers"]
    assert list(solution.live_fractions.values()) == pytest.approx(golden["density"], rel=PRINTED)
    counts = ERK().keep_counts(meta_scores(shapes), float(sparsity))
    assert list(counts.values()) == golden["n_keep"]
    assert sum(counts.values()) == golden["n_keep_total"]
    target = sum(keep_count(weights, float(sparsity)) for *_, weights, _ in pruning_vectors["resnet50"]["layers"])
    assert target == golden["target_total"]
    assert 0 <= golden["n_keep_total"] - target < len(shapes)
    assert nominal_flops(pruning_vectors, solution.live_fractions) == pytest.approx(
        golden["forward_flops_fraction"], abs=5e-9
    )
    costs = [
        LayerCost(name, tuple(shape), side * side) for name, shape, side, *_ in pruning_vectors["resnet50"]["layers"]
    ]
    assert forward_fraction(costs, counts) == pytest.approx(golden["forward_flops_fraction"], rel=1e-4)


@pytest.mark.parametrize("sparsity", ["0.965", "0.99"])
def test_resnet50_at_extreme_sparsity_with_the_published_first_layer(pruning_vectors, sparsity):
    golden = pruning_vectors["erk_resnet50"][sparsity]
    solution = ERK(first_dense=golden["first_layer_dense"]).solve(resnet50_shapes(pruning_vectors), float(sparsity))
    assert solution.epsilon == pytest.approx(golden["epsilon"], rel=PRINTED)
    assert list(solution.saturated) == golden["dense_layers"]
    assert nominal_flops(pruning_vectors, solution.live_fractions) == pytest.approx(
        golden["forward_flops_fraction"], abs=5e-10
    )


def test_small_networks_reproduce_every_golden_row(pruning_vectors):
    for row in pruning_vectors["erk_mlp"]:
        shapes = {str(i): tuple(shape) for i, shape in enumerate(row["shapes"])}
        assert set(row["custom_sparsity"].values()) <= {0.0}  # a layer fixed by the user is a dense one
        erk = ERK(power=row["power"], kernel=row.get("include_kernel", True), dense=tuple(row["custom_sparsity"]))
        solution = erk.solve(shapes, row["s"])
        assert solution.epsilon == pytest.approx(row["epsilon"], rel=PRINTED), row
        assert solution.saturated == tuple(str(i) for i in row["dense_layers"])
        assert list(solution.live_fractions.values()) == pytest.approx(row["density"], rel=PRINTED)
        assert list(erk.keep_counts(meta_scores(shapes), row["s"]).values()) == row["n_keep"]


def test_power_zero_is_uniform():
    shapes = {"a": (20, 30), "b": (40, 5), "c": (8, 3, 3, 3)}
    assert set(ERK(power=0.0).solve(shapes, 0.5).live_fractions.values()) == {0.5}


def test_zero_sparsity_keeps_everything():
    counts = ERK().keep_counts(meta_scores({"a": (20, 30), "b": (40, 5)}), 0.0)
    assert counts == {"a": 600, "b": 200}


def test_a_single_layer_gets_exactly_its_sparsity():
    assert ERK().keep_counts(meta_scores({"a": (96, 98)}), 0.9) == {"a": 941}


@pytest.mark.parametrize("power", [-1.0, float("nan"), float("inf"), "1"])
def test_senseless_powers_are_refused(power):
    with pytest.raises(UsageError, match="power"):
        ERK(power=power)


def test_dense_layers_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match="'stem'"):
        ERK(dense=("stem",)).solve({"a": (3, 3)}, 0.5)
