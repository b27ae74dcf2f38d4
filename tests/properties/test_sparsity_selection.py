"""Selection for any scores: exact counts, the tie rule, independence of the number of threads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.errors import UsageError
from tamis.sparsity import (
    Global,
    Uniform,
    keep_count,
    magnitude_score,
    mask_hash,
    masks_from_zeros,
    nested_scores,
    select_masks,
    top_k_mask,
    top_k_masks_global,
)
from tamis.sparsity._counts import floor_count

EXAMPLES = settings(max_examples=60, deadline=None)

# few distinct values, so that ties and both zeros are the rule
tied = st.sampled_from([0.0, -0.0, 0.25, 0.5, -0.5, 1.0])
wild = st.floats(allow_nan=False, width=32)
weights = st.lists(st.one_of(tied, wild), min_size=1, max_size=40)
layer_lists = st.lists(weights, min_size=1, max_size=5)
fractions = st.floats(0.0, 0.999)


def named(layers):
    return {f"l{i}": torch.tensor(layer, dtype=torch.float32) for i, layer in enumerate(layers)}


def best(candidates, k):
    """The definition: sort by score, then by layer, then by index."""
    return set(sorted(candidates, key=lambda entry: (-entry[0], entry[1], entry[2]))[:k])


def entries(scores):
    return [(float(v), layer, i) for layer, t in enumerate(scores.values()) for i, v in enumerate(t)]


def as_entries(scores, masks):
    return {entry for entry in entries(scores) if bool(list(masks.values())[entry[1]][entry[2]])}


@EXAMPLES
@given(weights, st.data())
def test_top_k_is_what_sorting_would_keep(values, data):
    scores = torch.tensor(values, dtype=torch.float32)
    k = data.draw(st.integers(0, len(values)))
    mask = top_k_mask(scores, k)
    assert int(mask.sum()) == k
    assert as_entries({"a": scores}, {"a": mask}) == best(entries({"a": scores}), k)


@EXAMPLES
@given(layer_lists, st.data())
def test_global_top_k_is_what_sorting_all_layers_would_keep(layers, data):
    scores = named(layers)
    k = data.draw(st.integers(0, sum(len(layer) for layer in layers)))
    masks = top_k_masks_global(scores, k)
    assert as_entries(scores, masks) == best(entries(scores), k)


@EXAMPLES
@given(layer_lists, fractions, st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]))
def test_global_with_floor_is_floors_first_and_the_rest_globally(layers, sparsity, floor):
    scores = {name: magnitude_score(tensor) for name, tensor in named(layers).items()}
    budget = keep_count(sum(t.numel() for t in scores.values()), sparsity)
    first: set[tuple[float, int, int]] = set()
    for layer, tensor in enumerate(scores.values()):
        own = [entry for entry in entries(scores) if entry[1] == layer]
        first |= best(own, floor_count(tensor.numel(), sparsity, floor))
    if len(first) > budget:
        with pytest.raises(UsageError, match="floors"):
            select_masks(scores, sparsity, Global(floor=floor))
        return
    expected = first | best([entry for entry in entries(scores) if entry not in first], budget - len(first))
    assert as_entries(scores, select_masks(scores, sparsity, Global(floor=floor))) == expected


@EXAMPLES
@given(layer_lists, fractions)
def test_counts_are_met_to_the_weight(layers, sparsity):
    scores = {name: magnitude_score(tensor) for name, tensor in named(layers).items()}
    uniform = select_masks(scores, sparsity, Uniform())
    assert all(int(uniform[name].sum()) == keep_count(t.numel(), sparsity) for name, t in scores.items())
    masks = select_masks(scores, sparsity, Global(floor=0.0))
    total = sum(t.numel() for t in scores.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == keep_count(total, sparsity)


@EXAMPLES
@given(layer_lists, st.floats(0.0, 0.9), st.floats(0.0, 0.9))
def test_pruning_a_sparse_model_keeps_its_zeros(layers, first, second):
    weights = named(layers)
    pruned = select_masks({name: magnitude_score(w) for name, w in weights.items()}, first, Global(floor=0.0))
    sparse = {name: w.masked_fill(~pruned[name], 0.0) for name, w in weights.items()}
    support = masks_from_zeros(sparse)
    budget = keep_count(sum(w.numel() for w in weights.values()), second)
    again = select_masks(
        nested_scores({name: magnitude_score(w) for name, w in sparse.items()}, support), second, Global(floor=0.0)
    )
    revived = sum(int((again[name] & ~support[name]).sum()) for name in weights)
    assert revived == max(0, budget - sum(int(mask.sum()) for mask in support.values()))


@EXAMPLES
@given(weights)
def test_masks_from_zeros_see_the_value_and_not_the_sign(values):
    tensor = torch.tensor(values, dtype=torch.float32)
    assert torch.equal(masks_from_zeros({"a": tensor})["a"], masks_from_zeros({"a": -tensor})["a"])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([None, "l2"]))
def test_masks_do_not_depend_on_the_number_of_threads(seed, normalise):
    generator = torch.Generator().manual_seed(seed)
    # large enough for torch to split work among threads, coarse enough for many ties
    scores = {name: (torch.randn(64, 3000, generator=generator) * 8).round().abs() for name in "ab"}
    before = torch.get_num_threads()
    hashes = set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            hashes.add(mask_hash(select_masks(scores, 0.9, Global(normalise=normalise))))
    finally:
        torch.set_num_threads(before)
    assert len(hashes) == 1
