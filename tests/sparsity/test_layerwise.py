"""Wanda's scores and SparseGPT's column sweep on one layer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.errors import UsageError
from tamis.sparsity import obs_joint_update, row_balanced_mask, sparsegpt_prune, wanda_score


def correlated(seed, rows, columns, samples=200):
    """A weight (rows, columns) and inputs (samples, columns) that share a few directions."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns // 2 + 1, columns, generator=generator, dtype=torch.float64)
    inputs = torch.randn(samples, columns // 2 + 1, generator=generator, dtype=torch.float64) @ mixing
    inputs += 0.1 * torch.randn(samples, columns, generator=generator, dtype=torch.float64)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64), inputs


def damped(hessian, damping):
    return hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64)


def test_a_wanda_score_is_magnitude_times_input_norm():
    weight = torch.tensor([[1.0, -2.0], [3.0, -0.5]])
    inputs = torch.tensor([[3.0, 0.0], [4.0, 1.0]])
    scores = wanda_score(weight, inputs.square().sum(dim=0))
    assert scores.tolist() == [[5.0, 2.0], [15.0, 0.5]]


def test_rows_keep_equally_many_and_ties_go_to_the_lower_index():
    scores = torch.tensor([[1.0, 1.0, 1.0, 1.0], [5.0, 4.0, 3.0, 2.0]])
    assert row_balanced_mask(scores, 4).tolist() == [[True, True, False, False], [True, True, False, False]]
    assert row_balanced_mask(scores, 5).tolist() == [[True, True, False, False], [True, True, True, False]]
    assert row_balanced_mask(torch.ones(3, 2), 4).tolist() == [[True, True], [True, False], [True, False]]
    with pytest.raises(UsageError, match="9 of 8"):
        row_balanced_mask(scores, 9)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5), columns=st.integers(1, 6), share=st.floats(0, 1), levels=st.integers(1, 4),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_balanced_counts_are_exact_and_rows_differ_by_one_at_most(rows, columns, share, levels, seed):
    scores = torch.randint(levels, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()
    count = round(share * rows * columns)
    mask = row_balanced_mask(scores, count)
    assert int(mask.sum()) == count
    assert int(mask.sum(dim=1).max() - mask.sum(dim=1).min()) <= 1
    for kept, row in zip(mask, scores, strict=True):
        if kept.any() and not kept.all():
            assert row[kept].min() >= row[~kept].max()


def exact_sweep(weight, hessian, mask):
    """Each pruned weight removed in column order by optimal brain surgeon on the columns from it on, one by one."""
    result = weight.clone()
    for row, alive in zip(result, mask, strict=True):
        for j in range(len(row)):
            if not alive[j]:
                inverse = torch.linalg.inv(hessian[j:, j:])
                row[j:] -= row[j].clone() / inverse[0, 0] * inverse[:, 0]
                row[j] = 0.0
    return result


@pytest.mark.parametrize("block", [1, 3, 8, 99])
def test_the_sweep_is_exact_sequential_elimination_of_its_mask(block):
    weight, inputs = correlated(0, 4, 10)
    hessian = inputs.T @ inputs
    found, mask = sparsegpt_prune(weight, hessian, 25, block=block)
    assert int(mask.sum()) == 15
    torch.testing.assert_close(found, exact_sweep(weight, damped(hessian, 0.01), mask), rtol=1e-8, atol=1e-10)


def test_where_the_pruned_columns_come_first_the_sweep_is_the_joint_optimum():
    weight, inputs = correlated(1, 3, 8)
    weight[:, :4] *= 1e-3  # so that the first of the two groups of eight goes
    hessian = inputs.T @ inputs
    found, mask = sparsegpt_prune(weight, hessian, 12, block=8)
    assert torch.equal(mask, (torch.arange(8) >= 4).expand(3, 8))
    inverse = torch.linalg.inv(damped(hessian, 0.01))
    for row, before in zip(found, weight, strict=True):
        torch.testing.assert_close(row, obs_joint_update(before, inverse, ~mask[0]), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("group", [None, (2, 4), (4, 8)])
def test_on_correlated_inputs_sparsegpt_beats_wanda_and_magnitude(seed, group):
    weight, inputs = correlated(seed, 16, 32)
    hessian = inputs.T @ inputs
    errors = {}
    found, mask = sparsegpt_prune(weight, hessian, 256, block=8, group=group)
    errors["sparsegpt"] = (inputs @ (weight - found).T).norm()
    assert int(mask.sum()) == 256
    scores = {"wanda": wanda_score(weight, inputs.square().sum(dim=0)), "magnitude": weight.abs()}
    for name, score in scores.items():
        if group is None:
            kept = row_balanced_mask(score, 256)
        else:
            n, m = group
            kept = row_balanced_mask(score.reshape(-1, m), n * 512 // m).reshape(16, 32)
            assert (mask.reshape(-1, m).sum(dim=1) == n).all()
        errors[name] = (inputs @ (weight - weight * kept).T).norm()
    assert errors["sparsegpt"] < 0.8 * errors["wanda"]
    assert errors["wanda"] < errors["magnitude"]


@pytest.mark.parametrize(("block", "mean"), [(128, 0.87), (8, 0.61)])
def test_narrow_blocks_of_columns_keep_the_advantage_that_the_documentation_states(block, mean):
    ratios = []
    for seed in range(12):
        weight, inputs = correlated(seed, 16, 64, 400)
        found, _ = sparsegpt_prune(weight, inputs.T @ inputs, 512, block=block)
        kept = row_balanced_mask(wanda_score(weight, inputs.square().sum(dim=0)), 512)
        ratios.append(float((inputs @ (weight - found).T).norm() / (inputs @ (weight - weight * kept).T).norm()))
    assert sum(ratios) / 12 == pytest.approx(mean, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 4), columns=st.integers(1, 9), block=st.integers(1, 10), share=st.floats(0, 1),
    zeros=st.floats(0, 1), seed=st.integers(0, 99),
)  # fmt: skip
def test_counts_are_exact_and_zeros_stay(rows, columns, block, share, zeros, seed):
    weight, inputs = correlated(seed, rows, columns)
    removed = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < zeros
    weight.masked_fill_(removed, 0.0)
    pruned = round(share * rows * columns)
    found, mask = sparsegpt_prune(weight, inputs.T @ inputs, pruned, block=block, removed=removed)
    assert int((~mask).sum()) == max(pruned, int(removed.sum()))
    assert not (mask & removed).any()
    assert not found[~mask].any()


def test_a_layer_that_sees_only_zeros_is_pruned_by_magnitude():
    weight, _ = correlated(2, 2, 4)
    found, mask = sparsegpt_prune(weight, torch.zeros(4, 4, dtype=torch.float64), 4)
    assert torch.equal(mask.flatten(), weight.abs().flatten() >= weight.abs().flatten().sort().values[4])
    assert torch.equal(found, weight * mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pruned": 9}, "9 of 8"),
        ({"damping": 0.0}, "damping > 0"),
        ({"block": 6, "group": (2, 4)}, "groups of 4"),
        ({"hessian": torch.full((4, 4), torch.nan, dtype=torch.float64)}, "is not finite, so its inputs are not"),
        ({"hessian": 1.0 - 2.0 * torch.eye(4, dtype=torch.float64).flip(0)}, "is finite, but not positive definite"),
    ],
)
def test_sweeps_that_do_not_fit_are_refused(arguments, message):
    weight, inputs = correlated(3, 2, 4)
    given = {"hessian": inputs.T @ inputs, "pruned": 4, **arguments}
    hessian, pruned = given.pop("hessian"), given.pop("pruned")
    with pytest.raises(UsageError, match=message):
        sparsegpt_prune(weight, hessian, pruned, **given)


def test_rows_with_few_weights_left_keep_those_and_others_share_the_rest():
    dead = -torch.inf
    scores = torch.tensor([[1.0, dead, dead, dead], [4.0, 3.0, 2.0, 1.0], [5.0, 6.0, 7.0, dead]])
    mask = row_balanced_mask(scores, 6)
    assert mask.tolist() == [[True, False, False, False], [True, True, False, False], [True, True, True, False]]
    assert int(row_balanced_mask(scores, 8).sum()) == 8
    assert int(row_balanced_mask(scores, 10).sum()) == 10  # more than there are above -inf
