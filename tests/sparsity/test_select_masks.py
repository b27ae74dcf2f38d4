"""The composition: what goes together, what is refused, who stays dense."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamis.errors import UsageError
from tamis.sparsity import (
    ERK,
    NM,
    Block,
    Budget,
    FanIn,
    Global,
    Uniform,
    Unstructured,
    check_combination,
    dense_layers,
    keep_count,
    keeps_all,
    nested_scores,
    select_masks,
    sparsity_of,
)


def scores(**shapes):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def test_default_is_global_with_the_exact_count():
    layers = scores(a=(16, 3, 3, 3), b=(10, 64))
    masks = select_masks(layers, 0.9)
    assert sum(int(mask.sum()) for mask in masks.values()) == keep_count(432 + 640, 0.9)
    assert {name: mask.shape for name, mask in masks.items()} == {name: t.shape for name, t in layers.items()}
    assert all(mask.dtype == torch.bool for mask in masks.values())


@pytest.mark.parametrize("distribution", [ERK(), Budget({"a": 0.5})])
def test_n_of_m_refuses_distributions_that_differ_by_layer(distribution):
    with pytest.raises(UsageError, match=r"do not apply to 2:4.*got (ERK|Budget)"):
        select_masks(scores(a=(4, 8)), 0.5, distribution, NM(2, 4))


def test_n_of_m_does_not_ask_global_for_counts():
    layers = {"weak": torch.rand(4, 8) * 1e-6, "strong": torch.rand(4, 8)}
    masks = select_masks(layers, 0.5, Global(floor=0.0), NM(2, 4))
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"weak": 16, "strong": 16}


def test_n_of_m_leaves_uniforms_dense_layers_dense():
    masks = select_masks(scores(stem=(4, 9), body=(4, 8)), 0.5, Uniform(), NM(2, 4, skip=("stem",)))
    assert sparsity_of(masks) == pytest.approx(16 / 68)
    masks = select_masks(scores(stem=(4, 8), body=(4, 8)), 0.5, Uniform(first_dense=True), NM(2, 4))
    assert bool(masks["stem"].all())


@pytest.mark.parametrize("sparsity", [0.0, 0.75, 0.9])
def test_n_of_m_has_one_sparsity(sparsity):
    with pytest.raises(UsageError, match=r"2:4 fixes the sparsity at 0\.5"):
        check_combination(sparsity, Global(), NM(2, 4))


def test_a_sparsity_printed_with_seven_digits_still_fits_its_pattern():
    assert check_combination(0.6666667, Global(), NM(1, 3)) == 0.6666667


@pytest.mark.parametrize("sparsity", [1.0, 90, -0.1])
def test_sparsity_outside_its_range_is_refused(sparsity):
    with pytest.raises(UsageError, match="sparsity"):
        select_masks(scores(a=(4, 8)), sparsity)


@pytest.mark.parametrize("pattern", [FanIn(), Block(2, 2), NM(2, 4)])
def test_no_layer_is_refused(pattern):
    with pytest.raises(UsageError, match="no layer"):
        select_masks({}, 0.5, pattern=pattern)


def test_skipped_layers_leave_the_budget_of_the_others():
    layers = scores(odd=(5, 5), even=(8, 8))
    masks = select_masks(layers, 0.5, Global(), Block(2, 2, skip=("odd",)))
    assert int(masks["odd"].sum()) == 25
    assert int(masks["even"].sum()) == 32


def test_first_dense_means_the_first_of_all_layers_even_if_a_pattern_skips_it():
    layers = scores(odd=(5, 5), even=(8, 8), last=(8, 8))
    uniform, pattern = Uniform(first_dense=True), Block(2, 2, skip=("odd",))
    assert dense_layers(list(layers), uniform, pattern) == ("odd",)
    counts = {name: int(mask.sum()) for name, mask in select_masks(layers, 0.5, uniform, pattern).items()}
    assert counts == {"odd": 25, "even": 32, "last": 32}


def test_when_everything_is_skipped_everything_lives():
    masks = select_masks(scores(odd=(5, 5)), 0.5, Global(), Block(2, 2, skip=("odd",)))
    assert bool(masks["odd"].all())


def test_zero_sparsity_keeps_everything():
    for distribution in (Global(), Uniform(), ERK(), Budget({"a": 0.5})):
        assert bool(select_masks(scores(a=(4, 8)), 0.0, distribution)["a"].all())


def test_a_live_zero_outranks_a_dead_weight_in_nested_scores():
    weight = torch.tensor([[0.0, 0.0, 5.0, 0.0]])
    mask = torch.tensor([[False, False, True, True]])
    plain = select_masks({"a": weight.abs()}, 0.5)["a"]
    nested = select_masks(nested_scores({"a": weight.abs()}, {"a": mask}), 0.5)["a"]
    assert plain.tolist() == [[True, False, True, False]]  # a dead weight would return by its low index
    assert torch.equal(nested, mask)


@pytest.mark.parametrize(
    ("distribution", "pattern"),
    [(Global(normalise="l2"), Block(2, 2)), (Global(), FanIn()), (ERK(), Block(1, 4)), (Uniform(), NM(2, 4))],
)
def test_nested_scores_work_with_every_pattern(distribution, pattern):
    layers = scores(a=(8, 8), b=(4, 8))
    first = select_masks(layers, 0.5, distribution, pattern)
    second = select_masks(nested_scores(layers, first), 0.5, distribution, pattern)
    assert all(bool((first[name] | ~second[name]).all()) for name in layers)


def test_nested_scores_name_a_layer_without_a_fitting_mask():
    with pytest.raises(UsageError, match=r"'a' needs a mask of shape \(4,\); got none"):
        nested_scores({"a": torch.rand(4)}, {})
    with pytest.raises(UsageError, match=r"got \(5,\)"):
        nested_scores({"a": torch.rand(4)}, {"a": torch.ones(5, dtype=torch.bool)})


@given(
    seed=st.integers(0, 2**32 - 1),
    live=st.sampled_from([0.3, 0.55, 0.8, 1.0]),
    sparsity=st.sampled_from([0.0, 0.2, 0.5, 0.75]),
    distribution=st.sampled_from(
        [Global(), Global(0.0), Global(1.0), Global(normalise="l2"), Uniform(), Uniform("b"), ERK(),
         Budget({"a": 0.75, "b": 0.75, "c": 0.75})]
    ),
    pattern=st.sampled_from([Unstructured(), FanIn(), Block(2, 2), Block(1, 4, "c"), NM(2, 4)]),
)  # fmt: skip
def test_what_keeps_all_promises_is_what_any_scores_select(seed, live, sparsity, distribution, pattern):
    if isinstance(pattern, NM):
        sparsity, distribution = 0.5, Uniform()
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (2, 4), "b": (8, 2, 2), "c": (4, 8)}
    masks = {name: torch.rand(shape, generator=generator) < live for name, shape in shapes.items()}
    promised = keeps_all(masks, sparsity, distribution, pattern)
    kept = []
    for _ in range(4):
        drawn = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
        chosen = select_masks(nested_scores(drawn, masks), sparsity, distribution, pattern)
        kept.append(all(torch.equal(chosen[name] & mask, mask) for name, mask in masks.items()))
    assert all(kept) or not promised
    if isinstance(pattern, Unstructured | NM) or not isinstance(distribution, Global):
        assert promised == all(kept)  # nothing depends on the scores, so the answer is exact


def test_layers_that_compete_for_what_a_pattern_rounds_up_are_not_promised_anything():
    masks = {"one": torch.ones(1, 8, dtype=torch.bool), "many": torch.ones(8, 8, dtype=torch.bool)}
    assert not keeps_all(masks, 3 / 72, Global(0.0), FanIn())
    kept = {}
    for loser in masks:
        drawn = {name: torch.full(mask.shape, float(name != loser)) for name, mask in masks.items()}
        chosen = select_masks(drawn, 3 / 72, Global(0.0), FanIn())
        kept[loser] = all(bool(mask.all()) for mask in chosen.values())
    assert kept == {"one": False, "many": True}


def test_distributions_and_patterns_of_another_package_are_not_promised_anything():
    class Ours(Uniform):
        pass

    class Free(Unstructured):
        pass

    masks = {"a": torch.ones(4, 4, dtype=torch.bool)}
    assert keeps_all(masks, 0.0, Uniform(), Unstructured())
    assert not keeps_all(masks, 0.0, Ours(), Unstructured())
    assert not keeps_all(masks, 0.0, Uniform(), Free())
