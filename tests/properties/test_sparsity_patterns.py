"""Patterns for any weights: their shape holds everywhere, and the best are kept."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.sparsity import NM, Block, FanIn, Global, Uniform, keep_count, select_masks

EXAMPLES = settings(max_examples=60, deadline=None)

groups = st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4), (4, 8), (1, 3)])
seeds = st.integers(0, 2**31)


def tied_scores(shape, seed):
    return torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


def kept_by_sorting(scores, k):
    order = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), i))
    return {*order[:k]}


@EXAMPLES
@given(groups, st.integers(1, 4), st.integers(1, 4), st.sampled_from([(), (1,), (2, 2), (3, 3)]), seeds)
def test_every_group_of_every_row_keeps_its_n_best(group, out, blocks, kernel, seed):
    n, m = group
    scores = tied_scores((out, blocks * m, *kernel), seed)
    pattern = NM(n, m)
    mask = select_masks({"a": scores}, pattern.sparsity, Global(), pattern)["a"]
    assert mask.shape == scores.shape
    # written out: walk each row in the order (kernel, in) and compare group by group
    rows = scores.movedim(1, -1).reshape(out, -1, m).reshape(-1, m)
    flags = mask.movedim(1, -1).reshape(out, -1, m).reshape(-1, m)
    for row, flag in zip(rows, flags, strict=True):
        assert set(flag.nonzero().flatten().tolist()) == kept_by_sorting(row, n)


@EXAMPLES
@given(st.integers(1, 6), st.integers(1, 12), st.floats(0.0, 0.99), seeds)
def test_every_row_keeps_the_same_number_of_its_best(out, length, sparsity, seed):
    scores = tied_scores((out, length), seed)
    mask = select_masks({"a": scores}, sparsity, Uniform(), FanIn())["a"]
    granted = keep_count(out * length, sparsity)
    k = -(-granted // out)
    for row, flags in zip(scores, mask, strict=True):
        assert set(flags.nonzero().flatten().tolist()) == kept_by_sorting(row, k)
    assert granted <= int(mask.sum()) < granted + out


@EXAMPLES
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.floats(0.0, 0.99), seeds)
def test_blocks_live_or_die_as_a_whole_and_the_best_live(down, across, rows, cols, sparsity, seed):
    scores = {name: tied_scores((down * rows, across * cols), seed + i) for i, name in enumerate("ab")}
    masks = select_masks(scores, sparsity, Global(floor=0.0), Block(rows, cols))
    size, live = rows * cols, 0
    kept, lost = [], []
    for name, mask in masks.items():
        cut = mask.reshape(down, rows, across, cols)
        alive = cut.all(dim=3).all(dim=1)
        assert torch.equal(alive, cut.any(dim=3).any(dim=1))
        means = scores[name].double().reshape(down, rows, across, cols).mean(dim=(1, 3)).float()
        kept += means[alive].tolist()
        lost += means[~alive].tolist()
        live += int(mask.sum())
    assert not lost or not kept or min(kept) >= max(lost)
    budget = keep_count(2 * down * across * size, sparsity)
    assert budget <= live < budget + size


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_patterns_do_not_depend_on_the_number_of_threads(seed):
    scores = {"a": torch.rand(256, 512, generator=torch.Generator().manual_seed(seed))}
    before = torch.get_num_threads()
    try:
        for pattern in (NM(2, 4), Block(32, 64), FanIn()):
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(select_masks(scores, 0.5, Uniform(), pattern)["a"])
            assert torch.equal(results[0], results[1])
            assert torch.equal(results[0], results[2])
    finally:
        torch.set_num_threads(before)
