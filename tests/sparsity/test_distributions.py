"""Uniform, global and budget distributions, against the golden selections and by hand."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import (
    Budget,
    Global,
    LayerCost,
    Uniform,
    achieved_sparsity,
    forward_fraction,
    keep_count,
    select_masks,
)

FLOOR_LAYERS = [[3.0, 2.5, 2.0, 1.5, 1.2, 1.1, 1.05, 1.01], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], [0.05, 0.04]]


def scores_of(layers):
    return {f"layer{i}": torch.tensor(layer, dtype=torch.float64).abs() for i, layer in enumerate(layers)}


def bits(masks):
    return [mask.int().tolist() for mask in masks.values()]


def distribution_of(case):
    name = case["case"]
    if name.startswith("uniform"):
        return Uniform()
    if name == "global_with_floor":
        return Global(floor=case["floor"])
    return Global(floor=0.0, normalise="l2" if name == "global_layer_l2_normalised" else None)


def test_every_golden_selection_is_reproduced(pruning_vectors):
    ours = [case for case in pruning_vectors["selection"] if "strict_threshold" not in case["case"]]
    assert len(ours) == len(pruning_vectors["selection"]) - 3
    for case in ours:
        masks = select_masks(scores_of(case["layers"]), case["s"], distribution_of(case))
        assert bits(masks) == case["masks"], case
        if "n_keep" in case:
            assert sum(int(mask.sum()) for mask in masks.values()) == case["n_keep"]


def test_ours_keeps_what_is_wanted_where_the_published_code_keeps_fewer(pruning_vectors):
    cases = [case for case in pruning_vectors["selection"] if "strict_threshold" in case["case"]]
    assert len(cases) == 3
    for case in cases:
        masks = select_masks(scores_of(case["layers"]), case["s"], Global(floor=0.0))
        kept = sum(int(mask.sum()) for mask in masks.values())
        assert kept == case["wanted"] > case["kept"]
        assert bits(masks) != case["masks"]
        published = {
            name: torch.tensor(mask, dtype=torch.bool) for name, mask in zip(masks, case["masks"], strict=True)
        }
        # a strict threshold drops ties, but what it keeps is kept by us as well
        assert all(bool((masks[name] | ~published[name]).all()) for name in masks)


def test_uniform_resnet50_reproduces_both_sparsities_and_flops(pruning_vectors):
    layers = pruning_vectors["resnet50"]["layers"]
    scores = {name: torch.empty(shape, device="meta") for name, shape, *_ in layers}
    total = {name: weights for name, _, _, weights, _ in layers}
    costs = [LayerCost(name, tuple(shape), side * side) for name, shape, side, *_ in layers]
    for row in pruning_vectors["uniform_resnet50"]:
        uniform = Uniform(first_dense=row["first_dense"], last_dense=row["last_dense"])
        live = uniform.keep_counts(scores, row["s"])
        achieved = achieved_sparsity(live, total, uniform.dense_layers(list(scores)))
        assert achieved.live == row["n_keep_total"]
        assert achieved.over_all == pytest.approx(row["sparsity_over_all_54"], abs=5e-9)
        assert achieved.over_pruned == pytest.approx(row["sparsity_over_pruned_layers"], abs=5e-9)
        # the vectors apply the nominal sparsity to the FLOPs; whole counts keep up to one weight per layer more
        ends = forward_fraction(costs, {name: 0 for name, n in live.items() if n < total[name]})
        nominal = ends + (1.0 - row["s"]) * (1.0 - ends)
        assert nominal == pytest.approx(row["forward_flops_fraction"], rel=5e-8)
        one_each = forward_fraction(costs, dict.fromkeys(total, 1))
        assert nominal - 1e-12 <= forward_fraction(costs, live) <= nominal + one_each


def test_uniform_leaves_named_layers_dense_and_keeps_their_order():
    scores = {name: torch.rand(10) for name in "abcd"}
    uniform = Uniform(dense=("c",), last_dense=True)
    assert uniform.dense_layers(list(scores)) == ("c", "d")
    assert uniform.keep_counts(scores, 0.5) == {"a": 5, "b": 5, "c": 10, "d": 10}


def test_a_layer_that_does_not_exist_cannot_be_dense():
    with pytest.raises(UsageError, match="'head'"):
        Uniform(dense=("head",)).keep_counts({"fc": torch.rand(4)}, 0.5)


def test_sharing_among_no_layers_is_refused():
    with pytest.raises(UsageError, match="at least one layer"):
        Global().keep_counts({}, 0.5)


@pytest.mark.parametrize("distribution", [Uniform(), Global(), Budget({"a": 0.5})])
@pytest.mark.parametrize("sparsity", [1.0, -0.5, float("nan")])
def test_sparsity_outside_its_range_is_refused_by_each(distribution, sparsity):
    with pytest.raises(UsageError, match=r"\[0, 1\)"):
        distribution.keep_counts({"a": torch.rand(4)}, sparsity)


def test_global_without_floor_can_empty_a_layer_and_the_floor_prevents_it():
    scores = scores_of(FLOOR_LAYERS)
    assert Global(floor=0.0).keep_counts(scores, 0.5)["layer2"] == 0
    assert Global().keep_counts(scores, 0.5)["layer2"] == 1


def test_floors_beyond_the_budget_are_refused_with_both_numbers():
    scores = {str(i): torch.rand(4) for i in range(8)}
    with pytest.raises(UsageError, match=r"sum to 8 weights, but only 4 of 32"):
        Global(floor=0.2).keep_counts(scores, 0.9)


def test_floors_that_fill_the_budget_exactly_are_met():
    scores = {"small": torch.full((10,), 0.1), "large": torch.full((10,), 5.0)}
    assert Global(floor=1.0).keep_counts(scores, 0.5) == {"small": 5, "large": 5}


def test_layers_that_fall_below_their_floor_only_after_others_were_raised_are_raised_too():
    # raising "low" takes the weakest weight of "middle" as well, which then stands below its own floor
    scores = {
        "high": torch.tensor([9.0, 8.0, 7.0, 6.0]),
        "middle": torch.tensor([5.5, 5.0, 0.3, 0.2]),
        "low": torch.tensor([0.1, 0.1, 0.1, 0.1]),
    }
    assert Global(floor=0.0).keep_counts(scores, 0.5) == {"high": 4, "middle": 2, "low": 0}
    assert Global(floor=1.0).keep_counts(scores, 0.5) == {"high": 2, "middle": 2, "low": 2}
    assert Global(floor=0.5).keep_counts(scores, 0.5) == {"high": 4, "middle": 1, "low": 1}


@pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan"), True])
def test_floor_outside_its_range_is_refused(floor):
    with pytest.raises(UsageError, match="floor"):
        Global(floor=floor)


def test_unknown_normalisation_is_refused():
    with pytest.raises(UsageError, match="'l2'"):
        Global(normalise="l1")


def test_normalisation_leaves_a_layer_of_zeros_alone():
    scores = {"zeros": torch.zeros(4), "ones": torch.ones(4)}
    assert Global(floor=0.0, normalise="l2").keep_counts(scores, 0.5) == {"zeros": 0, "ones": 4}


def test_budget_applies_its_table_at_its_own_sparsity():
    scores = {"a": torch.rand(100), "b": torch.rand(300)}
    table = Budget({"a": 0.5, "b": 0.9})
    overall = table.overall({"a": 100, "b": 300})
    assert overall == pytest.approx(0.8)
    assert table.keep_counts(scores, overall) == {"a": 50, "b": 30}


def test_budget_shrinks_all_entries_alike_below_its_own_sparsity():
    scores = {"a": torch.rand(100), "b": torch.rand(300)}
    assert Budget({"a": 0.5, "b": 0.9}).keep_counts(scores, 0.4) == {"a": 75, "b": 165}
    assert Budget({"a": 0.5, "b": 0.9}).keep_counts(scores, 0.0) == {"a": 100, "b": 300}


def test_budget_cannot_exceed_its_own_sparsity():
    with pytest.raises(UsageError, match=r"reaches a sparsity of 0\.5"):
        Budget({"a": 0.5}).keep_counts({"a": torch.rand(10)}, 0.6)


@pytest.mark.parametrize(
    ("table", "message"), [({"a": 0.5}, r"lacks the layers \['b'\]"), ({"a": 0.5, "b": 0.5, "x": 0.5}, r"\['x'\]")]
)
def test_budget_must_name_the_layers(table, message):
    with pytest.raises(UsageError, match=message):
        Budget(table).keep_counts({"a": torch.rand(4), "b": torch.rand(4)}, 0.5)


def test_budget_refuses_a_bad_entry_and_a_repeated_one():
    with pytest.raises(UsageError, match="layer 'a'"):
        Budget({"a": 1.0})
    with pytest.raises(UsageError, match="twice"):
        Budget((("a", 0.5), ("a", 0.6)))


def test_distributions_are_values():
    assert Budget({"a": 0.5}) == Budget((("a", 0.5),))
    assert len({Global(), Global(floor=0.2), Uniform(), Budget({"a": 0.5}), Budget({"a": 0.5})}) == 3


def test_layers_dense_for_another_reason_leave_the_budget():
    scores = {"a": torch.full((10,), 9.0), "b": torch.rand(10), "c": torch.rand(10)}
    counts = Global().keep_counts(scores, 0.5, also_dense=("a",))
    assert counts["a"] == 10
    assert counts["b"] + counts["c"] == keep_count(20, 0.5)


def test_a_floor_is_not_granted_to_weights_that_may_not_return():
    scores = {"full": torch.arange(1.0, 101.0), "gone": torch.full((100,), -torch.inf)}
    scores["gone"][:3] = 50.0
    masks = select_masks(scores, 0.6, Global(floor=0.5))
    assert int(masks["full"].sum()) == 77
    assert masks["gone"].nonzero().flatten().tolist() == [0, 1, 2]
