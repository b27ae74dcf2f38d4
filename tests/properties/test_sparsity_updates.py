"""Mask updates and their statistics for any weights."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.sparsity import (
    carry_over,
    chain_paths,
    drop_and_grow,
    fan_in_update,
    fisher_inverse,
    mask_change,
    mask_hash,
    random_score,
    soft_threshold,
    soft_threshold_gradients,
    sparsity_of,
)

EXAMPLES = settings(max_examples=80, deadline=None)
seeds = st.integers(0, 2**31)


def random_mask(shape, seed, share=0.5):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


@EXAMPLES
@given(st.integers(1, 40), seeds, st.floats(0.0, 1.0), st.booleans())
def test_updates_keep_the_count_and_touch_only_their_candidates(n, seed, share, ties):
    generator = torch.Generator().manual_seed(seed)
    mask = random_mask(n, seed)
    weight = torch.randn(n, generator=generator).masked_fill(~mask, 0.0)
    growth = torch.ones(n) if ties else random_score(weight, generator)
    count = int(share * int(mask.sum()))
    update = drop_and_grow(weight, mask, growth, count)
    assert int(update.mask.sum()) == int(mask.sum())
    assert int(update.dropped.sum()) == int(update.grown.sum()) == count
    assert not bool((update.dropped & ~mask).any())  # only live weights drop
    assert not bool((update.grown & mask & ~update.dropped).any())  # only dead or just dropped ones grow
    stayed = mask & ~update.dropped
    if bool(stayed.any()) and count:
        assert float(weight[stayed].abs().min()) >= float(weight[update.dropped].abs().max())


@EXAMPLES
@given(
    rows=st.integers(1, 8), length=st.integers(1, 9), start=st.integers(1, 9), share=st.floats(0.0, 1.0),
    gamma=st.floats(0.0, 1.0), gone=st.integers(0, 7), ties=st.booleans(), seed=seeds,
)  # fmt: skip
def test_a_constant_fan_in_stays_constant_and_holds_the_budget(rows, length, start, share, gamma, gone, ties, seed):
    generator = torch.Generator().manual_seed(seed)
    start, gone = min(start, length), min(gone, rows - 1)
    mask = torch.rand(rows, length, generator=generator).argsort(dim=1) < start
    mask[:gone] = False
    weight = torch.randn(rows, length, generator=generator)
    growth = torch.randn(rows, length, generator=generator)
    if ties:
        weight, growth = weight.round(), growth.round()
    weight = weight * mask
    live = int(mask.sum())
    budget = max(1, live - int(torch.randint(rows - gone, (), generator=generator)))
    update = fan_in_update(weight, mask, growth, int(share * live), budget, gamma)
    counts = update.mask.sum(dim=1)
    assert bool((counts[update.neurons] == update.fan_in).all())
    assert not counts[~update.neurons].any()
    assert not update.neurons[:gone].any()
    assert 0 <= int(counts.sum()) - budget < int(update.neurons.sum())
    if gamma == 0.0:
        assert int(update.neurons.sum()) == rows - gone
    # the reference, row by row: what was not dropped first, the largest magnitudes before the others, then by gradient
    flat = sorted(range(live), key=lambda i: (-float(weight[mask].abs()[i]), i))[: live - int(share * live)]
    kept = torch.zeros(live, dtype=torch.bool)
    kept[flat] = True
    survivors = torch.zeros_like(mask)
    survivors[mask] = kept
    for row in range(rows):
        if update.neurons[row]:
            order = sorted(
                range(length),
                key=lambda i: (
                    (0, -float(weight[row, i].abs()), i) if survivors[row, i] else (1, -float(growth[row, i].abs()), i)
                ),
            )
            assert sorted(order[: update.fan_in]) == update.mask[row].nonzero().flatten().tolist()


@EXAMPLES
@given(st.integers(1, 40), seeds)
def test_newly_live_weights_and_state_are_exactly_zero(n, seed):
    old, new = random_mask(n, seed), random_mask(n, seed + 1)
    values = torch.full((n,), 7.0)
    carried = carry_over(values, old, new)
    assert bool((carried[old & new] == 7.0).all())
    assert bool((carried[~(old & new)] == 0.0).all())
    assert bool((values == 7.0).all())


@EXAMPLES
@given(st.integers(1, 60), seeds)
def test_mask_changes_are_symmetric_where_they_should_be(n, seed):
    old, new = {"a": random_mask(n, seed)}, {"a": random_mask(n, seed + 1, 0.3)}
    there, back = mask_change(old, new), mask_change(new, old)
    assert (there.hamming, there.percent, there.iou) == (back.hamming, back.percent, back.iou)
    assert there.zeros_added == -back.zeros_added
    assert there.hamming == int((old["a"] != new["a"]).sum())
    assert there.percent == pytest.approx(100 * (there.hamming - abs(there.zeros_added)) / n, rel=1e-12)
    assert sparsity_of(new) - sparsity_of(old) == pytest.approx(there.zeros_added / n, abs=1e-12)
    assert (mask_hash(old) == mask_hash(new)) == (there.hamming == 0)


@EXAMPLES
@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), seeds)
def test_effective_weights_are_those_that_change_the_number_of_paths(widths, seed):
    masks = [random_mask((b, a), seed + i) for i, (a, b) in enumerate(pairwise(widths))]

    def paths(layers):
        signal = torch.ones(widths[0], dtype=torch.float64)
        for layer in layers:
            signal = layer.double() @ signal
        return float(signal.sum())

    effective = 0
    for i, mask in enumerate(masks):
        for position in mask.nonzero():
            without = mask.clone()
            without[tuple(position)] = False
            effective += paths([*masks[:i], without, *masks[i + 1 :]]) != paths(masks)
    report = chain_paths(masks)
    assert report.effective == effective
    assert report.live == sum(int(mask.sum()) for mask in masks)


@EXAMPLES
@given(st.integers(1, 5), st.integers(1, 8), seeds)
def test_the_inverse_fisher_matrix_uses_every_gradient(samples, d, seed):
    gradients = torch.randn(samples, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    fisher = 0.1 * torch.eye(d, dtype=torch.float64) + gradients.T @ gradients / samples
    torch.testing.assert_close(
        fisher_inverse(gradients, 0.1)[0] @ fisher, torch.eye(d, dtype=torch.float64), rtol=0, atol=1e-10
    )


@EXAMPLES
@given(seeds, st.floats(-8.0, 3.0))
def test_soft_threshold_gradients_equal_autograd(seed, logit):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(12, dtype=torch.float64, generator=generator).requires_grad_()
    weight.data[::5] = 0.0
    upstream = torch.randn(12, dtype=torch.float64, generator=generator)
    s = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    by_autograd = torch.autograd.grad(soft_threshold(weight, s), (weight, s), upstream)
    ours = soft_threshold_gradients(weight.detach(), s.detach(), upstream)
    torch.testing.assert_close(ours.weight, by_autograd[0], rtol=0, atol=0)
    torch.testing.assert_close(ours.logit, by_autograd[1], rtol=1e-12, atol=1e-14)
