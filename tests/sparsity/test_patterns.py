"""N:M, blocks and constant fan-in."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import NM, Block, FanIn, Global, Uniform, Unstructured, nested_scores, select_masks


def test_every_golden_mask_is_reproduced(pruning_vectors):
    checked = 0
    for case in pruning_vectors["nm_masks"]:
        weight = torch.tensor(case["w"], dtype=torch.float64)
        assert list(weight.shape) == case["shape"]
        if "N" in case:
            pattern = NM(case["N"], case["M"])
            sparsity = pattern.sparsity
        elif "k" in case:
            pattern, sparsity = FanIn(), 1.0 - case["k"] / weight.shape[1]
        else:
            pattern, sparsity = Block(2, 2), 0.5
            means = pattern.rank({"w": weight.abs()})["w"][::2, ::2].reshape(-1)
            assert means.tolist() == pytest.approx(case["block_scores"], rel=1e-15)
        masks = select_masks({"w": weight.abs()}, sparsity, Uniform(), pattern)
        assert masks["w"].int().tolist() == case["mask"], case["case"]
        checked += 1
    assert checked == len(pruning_vectors["nm_masks"]) == 7


def test_two_of_four_keeps_the_two_largest():
    mask = NM(2, 4).select(torch.tensor([[0.1, -0.4, 0.3, 0.2]]).abs())
    assert mask.tolist() == [[False, True, True, False]]


def test_groups_of_a_convolution_run_along_the_input_channels():
    scores = torch.zeros(1, 4, 1, 2)
    scores[0, :, 0, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    scores[0, :, 0, 1] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    mask = NM(1, 4).select(scores)
    assert mask.nonzero().tolist() == [[0, 0, 0, 1], [0, 3, 0, 0]]
    assert mask.is_contiguous()


def test_rows_that_cannot_be_cut_are_all_named_with_the_way_out():
    scores = {"conv1": torch.rand(64, 3, 7, 7), "conv2": torch.rand(8, 64, 3, 3), "fc": torch.rand(10, 30)}
    with pytest.raises(UsageError, match=r"'conv1' with rows of 147.*'fc' with rows of 30.*skip=\('conv1', 'fc'\)"):
        select_masks(scores, 0.5, pattern=NM(2, 4))
    masks = select_masks(scores, 0.5, pattern=NM(2, 4, skip=("conv1", "fc")))
    assert bool(masks["conv1"].all())
    assert bool(masks["fc"].all())
    assert int(masks["conv2"].sum()) == 8 * 64 * 9 // 2


def test_groups_never_leave_a_row():
    # 6 weights per row: the published code would cut groups of 4 across rows
    with pytest.raises(UsageError, match="rows of 6"):
        NM(2, 4).select(torch.rand(2, 6))


@pytest.mark.parametrize(("n", "m"), [(0, 4), (4, 4), (5, 4), (2.0, 4), (-1, 2)])
def test_impossible_group_shapes_are_refused(n, m):
    with pytest.raises(UsageError, match="1 <= n < m"):
        NM(n, m)


def test_skipping_a_layer_that_does_not_exist_is_refused():
    for pattern in (NM(2, 4, skip=("x",)), Block(2, 2, skip=("x",))):
        with pytest.raises(UsageError, match="'x'"):
            select_masks({"a": torch.rand(4, 4)}, 0.5, pattern=pattern)


def test_fan_in_keeps_the_same_number_in_every_row_with_ties_to_the_left():
    mask = FanIn().select(torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 3.0, 2.0, 3.0]]), 4)
    assert mask.tolist() == [[True, True, False, False], [False, True, False, True]]


@pytest.mark.parametrize(("count", "per_row"), [(0, 0), (1, 1), (3, 1), (4, 2), (12, 4)])
def test_fan_in_rounds_its_count_up_to_whole_rows(count, per_row):
    assert FanIn().select(torch.rand(3, 2, 2, 1), count).reshape(3, -1).sum(dim=1).tolist() == [per_row] * 3


def test_fan_in_refuses_impossible_counts_and_vectors():
    with pytest.raises(UsageError, match="13 of 12"):
        FanIn().select(torch.rand(3, 4), 13)
    with pytest.raises(UsageError, match="two dimensions"):
        FanIn().select(torch.rand(3), 1)


@pytest.mark.parametrize("pattern", [NM(2, 4), FanIn(), Block(2, 2), Unstructured()])
def test_nan_is_refused_by_every_pattern(pattern):
    scores = torch.rand(4, 4)
    scores[1, 2] = float("nan")
    with pytest.raises(UsageError, match="NaN"):
        select_masks({"a": scores}, 0.5, Uniform(), pattern)


def test_blocks_compete_globally_by_their_means():
    scores = {"strong": torch.full((4, 4), 2.0), "weak": torch.full((4, 4), 1.0)}
    masks = select_masks(scores, 0.5, Global(floor=0.0), Block(2, 2))
    assert bool(masks["strong"].all())
    assert not bool(masks["weak"].any())


def test_blocks_round_their_count_up_to_whole_blocks():
    masks = select_masks({"a": torch.rand(4, 4)}, 0.7, Uniform(), Block(2, 2))
    assert int(masks["a"].sum()) == 8  # 5 weights granted, two blocks of four


def test_blocks_of_a_convolution_read_it_as_out_by_rest():
    scores = torch.zeros(2, 2, 1, 2)
    scores[0, 1, 0, 0] = 1.0
    mask = select_masks({"a": scores}, 0.5, Uniform(), Block(2, 2))["a"]
    assert mask.reshape(2, 4).tolist() == [[False, False, True, True]] * 2


def test_layers_that_blocks_do_not_divide_are_named():
    with pytest.raises(UsageError, match=r"'odd' of shape \(3, 4\)"):
        select_masks({"even": torch.rand(4, 4), "odd": torch.rand(3, 4)}, 0.5, pattern=Block(2, 2))


@pytest.mark.parametrize(("rows", "cols"), [(0, 1), (1, 0), (1.5, 2)])
def test_impossible_blocks_are_refused(rows, cols):
    with pytest.raises(UsageError, match="at least 1"):
        Block(rows, cols)


def test_one_dead_weight_does_not_condemn_its_block():
    scores = nested_scores({"w": torch.tensor([[5.0, 5.0, 5.0, 9.0], [0.01, 0.01, 0.01, 0.01]])},
                           {"w": torch.tensor([[True, True, True, False], [True, True, True, True]])})  # fmt: skip
    ranked = Block(1, 4).rank(scores)["w"]
    assert ranked[0, 0] == 3.75
    assert bool((ranked[0] > ranked[1]).all())
    gone = nested_scores({"w": torch.ones(1, 4)}, {"w": torch.zeros(1, 4, dtype=torch.bool)})
    assert bool(torch.isneginf(Block(1, 4).rank(gone)["w"]).all())
