"""Many blocks at once give what the formulas of one block give."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.errors import UsageError
from tamis.sparsity import (
    block_elimination,
    block_fisher,
    block_independent_update,
    block_joint_update,
    block_saliency,
    explicit_inverse,
    factored_inverse,
    fisher_inverse,
    greedy_elimination,
    obs_independent_update,
    obs_joint_update,
    obs_saliency,
    quadratic_loss_increase,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def draw(seed, blocks, samples, length):
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(blocks, samples, length, generator=generator, dtype=torch.float64)
    weight = torch.randn(blocks, length, generator=generator, dtype=torch.float64)
    return gradients, weight


def fishers(gradients, damping):
    return block_fisher(gradients.transpose(1, 2) @ gradients, gradients.shape[1], damping)


@pytest.fixture
def golden(pruning_vectors):
    return pruning_vectors["obs"]


@pytest.fixture
def golden_gradients(golden):
    return torch.tensor([golden["grads_rows"]], dtype=torch.float64)


@pytest.fixture
def golden_weight(golden):
    return torch.tensor([golden["w"]], dtype=torch.float64)


@pytest.mark.parametrize("form", ["explicit", "factored"])
def test_both_forms_reproduce_the_golden_inverse_and_saliencies(form, golden, golden_gradients, golden_weight):
    damping = golden["lambda"]
    if form == "explicit":
        inverse = explicit_inverse(fishers(golden_gradients, damping))
    else:
        inverse = factored_inverse(golden_gradients, damping)
    expected = torch.tensor(golden["inverse"], dtype=torch.float64)
    columns = torch.stack([inverse.product(row.unsqueeze(0))[0] for row in torch.eye(4, dtype=torch.float64)])
    torch.testing.assert_close(columns, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(inverse.diagonal()[0], expected.diagonal(), rtol=1e-10, atol=0)
    torch.testing.assert_close(inverse.squares(2)[0, 1], expected[2:, 2:], rtol=1e-10, atol=0)
    assert block_saliency(golden_weight, inverse)[0].tolist() == pytest.approx(golden["saliency"], rel=1e-10)
    pruned = torch.zeros(1, 4, dtype=torch.bool)
    pruned[0, golden["prune_two"]["set"]] = True
    summed = block_independent_update(golden_weight, inverse, pruned)[0].tolist()
    wanted = golden["prune_two"]["independent_updates_summed (WoodFisher rule)"]
    assert summed == pytest.approx(wanted, rel=1e-10)


def test_the_static_two_cost_0_121_and_the_greedy_two_0_034(golden, golden_gradients, golden_weight):
    fisher = fishers(golden_gradients, golden["lambda"])
    losses = block_elimination(golden_weight, fisher, torch.zeros(1, 4, dtype=torch.bool))[0]
    trace = golden["greedy_sequential"]
    assert losses.argsort().tolist()[:3] == [step["pruned"] for step in trace]
    totals = [sum(step["loss_increase"] for step in trace[: i + 1]) for i in range(3)]
    assert losses.sort().values[:3].tolist() == pytest.approx(totals, rel=1e-9)
    costs = {}
    for name, two in (("static", golden["saliency_order"][:2]), ("greedy", losses.argsort().tolist()[:2])):
        pruned = torch.zeros(1, 4, dtype=torch.bool)
        pruned[0, two] = True
        after = block_joint_update(golden_weight, fisher, pruned)
        costs[name] = float(quadratic_loss_increase((after - golden_weight)[0], fisher[0]))
        if name == "greedy":
            assert after[0].tolist() == pytest.approx(trace[1]["w"], rel=1e-9)
    assert {name: round(cost, 3) for name, cost in costs.items()} == {"static": 0.121, "greedy": 0.034}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    blocks=st.integers(1, 4),
    samples=st.integers(1, 9),
    length=st.integers(1, 7),
    damping=st.floats(1e-3, 1.0),
    share=st.floats(0.0, 1.0),
)
def test_any_blocks_equal_the_reference_of_one_block(seed, blocks, samples, length, damping, share):
    gradients, weight = draw(seed, blocks, samples, length)
    pruned = torch.rand(blocks, length, generator=torch.Generator().manual_seed(seed)) < share
    reference = [fisher_inverse(block, damping)[0] for block in gradients]
    fisher = fishers(gradients, damping)
    kept = fisher.clone()
    for inverse in (explicit_inverse(fisher.clone()), factored_inverse(gradients, damping)):
        saliency, moved = block_saliency(weight, inverse), block_independent_update(weight, inverse, pruned)
        for i, matrix in enumerate(reference):
            torch.testing.assert_close(saliency[i], obs_saliency(weight[i], matrix), **CLOSE)
            torch.testing.assert_close(moved[i], obs_independent_update(weight[i], matrix, pruned[i]), **CLOSE)
    joint = block_joint_update(weight, fisher, pruned)
    losses = block_elimination(weight, fisher, torch.zeros_like(pruned))
    assert torch.equal(fisher, kept)
    assert not joint[pruned].any()
    for i, matrix in enumerate(reference):
        torch.testing.assert_close(joint[i], obs_joint_update(weight[i], matrix, pruned[i]), rtol=1e-7, atol=1e-9)
        total = 0.0
        for step in greedy_elimination(weight[i], matrix, length):
            total += step.loss_increase
            assert float(losses[i, step.index]) == pytest.approx(total, rel=1e-7, abs=1e-12)


def test_the_joint_update_is_the_end_of_the_trace_of_eliminations():
    gradients, weight = draw(3, 5, 6, 10)
    fisher = fishers(gradients, 0.01)
    losses = block_elimination(weight, fisher, torch.zeros(5, 10, dtype=torch.bool))
    pruned = losses <= losses.sort(dim=1).values[:, 6:7]
    joint = block_joint_update(weight, fisher, pruned)
    for i in range(5):
        trace = greedy_elimination(weight[i], fisher_inverse(gradients[i], 0.01)[0], 7)
        assert {step.index for step in trace} == set(pruned[i].nonzero().flatten().tolist())
        torch.testing.assert_close(joint[i], trace[-1].weight, rtol=1e-8, atol=1e-10)


def test_weights_that_were_removed_before_are_left_out_of_the_elimination():
    gradients, weight = draw(4, 3, 8, 6)
    removed = torch.tensor([[True, False, True, False, False, False], [False] * 6, [True] * 6])
    gradients.masked_fill_(removed.unsqueeze(1), 0.0)
    weight.masked_fill_(removed, 0.0)
    losses = block_elimination(weight, fishers(gradients, 0.1), removed)
    assert torch.equal(torch.isinf(losses), removed)
    small = gradients[:1, :, ~removed[0]]
    alone = block_elimination(weight[:1, ~removed[0]], fishers(small, 0.1), torch.zeros(1, 4, dtype=torch.bool))
    torch.testing.assert_close(losses[0, ~removed[0]], alone[0], **CLOSE)


@pytest.mark.parametrize("form", ["explicit", "factored"])
def test_a_group_is_worth_what_its_joint_removal_costs(form):
    gradients, weight = draw(5, 3, 9, 8)
    fisher = fishers(gradients, 0.05)
    inverse = explicit_inverse(fisher.clone()) if form == "explicit" else factored_inverse(gradients, 0.05)
    saliency = block_saliency(weight, inverse, 4)
    for group in range(2):
        pruned = torch.zeros(3, 8, dtype=torch.bool)
        pruned[:, 4 * group : 4 * group + 4] = True
        after = block_independent_update(weight, inverse, pruned, 4)
        torch.testing.assert_close(after, block_joint_update(weight, fisher, pruned), **CLOSE)
        for i in range(3):
            cost = float(quadratic_loss_increase((after - weight)[i], fisher[i]))
            assert saliency[i, pruned[i]].tolist() == pytest.approx([cost] * 4, rel=1e-9)


def test_all_gradients_enter_both_forms():
    gradients, _ = draw(6, 1, 3, 4)
    for count in (1, 2):
        for make in (lambda g: explicit_inverse(fishers(g, 0.1)), lambda g: factored_inverse(g, 0.1)):
            fewer = make(gradients[:, :count]).diagonal()
            assert not torch.allclose(fewer, make(gradients).diagonal(), rtol=1e-3)


def test_what_cannot_be_inverted_is_refused():
    with pytest.raises(UsageError, match="at least one gradient"):
        factored_inverse(torch.zeros(1, 0, 4, dtype=torch.float64), 0.1)
    with pytest.raises(UsageError, match="damping > 0"):
        block_fisher(torch.zeros(1, 4, 4, dtype=torch.float64), 3, 0.0)
    broken = torch.full((1, 2, 4), torch.nan, dtype=torch.float64)
    with pytest.raises(UsageError, match="not positive definite"):
        factored_inverse(broken, 0.1)
    with pytest.raises(UsageError, match="raise damping"):
        explicit_inverse(-torch.eye(3, dtype=torch.float64).unsqueeze(0))
