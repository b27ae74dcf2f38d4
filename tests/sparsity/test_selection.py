"""Exact selection: counts, ties, zeros, NaN, dtypes and layouts."""

from __future__ import annotations

import time

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import keep_count, top_k_mask, top_k_masks_global

TIED = torch.tensor([0.5, -0.5, 0.25, 0.0, -0.25, 0.5, 1.0, -0.125]).abs()


@pytest.mark.parametrize(
    ("k", "picture"),
    [
        (0, "00000000"),
        (1, "00000010"),
        (2, "10000010"),
        (3, "11000010"),
        (4, "11000110"),
        (5, "11100110"),
        (8, "11111111"),
    ],
)
def test_eight_weights_are_kept_as_pictured(k, picture):
    assert "".join("01"[bit] for bit in top_k_mask(TIED, k).tolist()) == picture


def test_all_equal_scores_keep_the_first():
    assert top_k_mask(torch.ones(8), 4).tolist() == [True] * 4 + [False] * 4


def test_both_zeros_tie():
    assert top_k_mask(torch.tensor([-0.0, 0.0, -0.0, 0.0]), 2).tolist() == [True, True, False, False]


def test_infinities_are_ordinary_scores():
    scores = torch.tensor([-torch.inf, 1.0, torch.inf, -torch.inf])
    assert top_k_mask(scores, 2).tolist() == [False, True, True, False]
    assert top_k_mask(scores, 3).tolist() == [True, True, True, False]


@pytest.mark.parametrize("k", [-1, 9])
def test_impossible_counts_are_refused(k):
    with pytest.raises(UsageError, match="between 0 and 8"):
        top_k_mask(TIED, k)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_nan_is_refused_whatever_the_count(k):
    with pytest.raises(UsageError, match="1 of 3 scores are NaN"):
        top_k_mask(torch.tensor([1.0, float("nan"), 2.0]), k)


def test_nan_names_its_layer():
    with pytest.raises(UsageError, match="'conv2'"):
        top_k_masks_global({"conv1": torch.ones(2), "conv2": torch.tensor([float("nan")])}, 1)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_scores_that_are_no_floats_are_refused(dtype):
    with pytest.raises(UsageError, match="floating point"):
        top_k_mask(torch.ones(4, dtype=dtype), 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_float_dtype_selects_alike(dtype):
    assert torch.equal(top_k_mask(TIED.to(dtype), 4), top_k_mask(TIED, 4))


def test_float64_differences_below_float32_are_seen():
    scores = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
    assert top_k_mask(scores, 1).tolist() == [False, True]


def test_flat_index_means_c_order_in_channels_last_too():
    scores = torch.ones(2, 3, 2, 2)
    expected = top_k_mask(scores, 7)
    assert torch.equal(top_k_mask(scores.to(memory_format=torch.channels_last), 7), expected)
    assert torch.equal(top_k_mask(torch.ones(4, 3).t(), 5), top_k_mask(torch.ones(3, 4), 5))


def test_scores_with_a_graph_are_neither_changed_nor_recorded():
    scores = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    mask = top_k_mask(scores, 2)
    assert scores.tolist() == [3.0, 1.0, 2.0]
    assert not mask.requires_grad


def test_global_ties_go_to_the_earlier_layer():
    masks = top_k_masks_global({"b": torch.ones(3), "a": torch.ones(3)}, 4)
    assert masks["b"].tolist() == [True, True, True]
    assert masks["a"].tolist() == [True, False, False]


def test_global_selection_takes_none_and_all():
    scores = {"a": torch.zeros(2, 2), "b": torch.zeros(3)}
    for k, live in ((0, False), (7, True)):
        assert all(bool((mask == live).all()) for mask in top_k_masks_global(scores, k).values())


@pytest.mark.slow
@pytest.mark.parametrize("live_share", [1.0, 0.05], ids=["distinct scores", "mostly zeros"])
def test_twenty_five_million_scores_take_under_a_second_of_one_core(live_share):
    scores = torch.randn(25_502_912).abs_()
    scores[torch.rand(scores.shape) >= live_share] = 0.0
    k = keep_count(scores.numel(), 0.9)
    spent = []
    for _ in range(3):
        start = time.process_time()
        mask = top_k_mask(scores, k)
        spent.append(time.process_time() - start)
    assert int(mask.sum()) == k
    assert min(spent) < 1.0  # 0.1 s where it was measured
