"""Drop and grow."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import carry_over, drop_and_grow, update_interval


def test_rigl_steps_reproduce_the_golden_cases(pruning_vectors):
    golden = pruning_vectors["rigl_step"]
    weight, gradient, momentum = (
        torch.tensor(golden[key], dtype=torch.float64) for key in ("w", "dense_grad", "momentum")
    )
    mask = torch.tensor(golden["mask"], dtype=torch.bool)
    for case in golden["cases"]:
        update = drop_and_grow(weight, mask, gradient.abs(), case["k"])
        assert update.dropped.nonzero().flatten().tolist() == case["dropped"]
        assert update.grown.nonzero().flatten().tolist() == case["grown"]
        assert update.mask.int().tolist() == case["new_mask"]
        assert carry_over(weight, mask, update.mask).tolist() == case["new_w"]
        assert carry_over(momentum, mask, update.mask).tolist() == case["new_momentum"]


def test_inactive_weights_are_never_candidates_for_dropping():
    weight = torch.tensor([[9.0, 0.0, 0.1, 0.0]])
    update = drop_and_grow(weight, weight != 0, torch.tensor([[0.0, 1.0, 0.0, 2.0]]), 1)
    assert update.dropped.tolist() == [[False, False, True, False]]
    assert update.mask.tolist() == [[True, False, False, True]]


def test_everything_can_be_exchanged():
    weight = torch.tensor([1.0, 2.0, 0.0, 0.0])
    update = drop_and_grow(weight, weight != 0, torch.tensor([0.0, 0.0, 1.0, 1.0]), 2)
    assert update.mask.tolist() == [False, False, True, True]


def test_scores_of_weights_that_stay_are_not_looked_at():
    weight = torch.tensor([1.0, 2.0, 0.0, 0.0])
    update = drop_and_grow(weight, weight != 0, torch.tensor([0.0, float("nan"), 1.0, 0.5]), 1)
    assert update.mask.tolist() == [False, True, True, False]


def test_infinite_and_negative_scores_are_ordinary():
    weight = torch.tensor([1.0, 0.0, 0.0, 0.0])
    update = drop_and_grow(weight, weight != 0, torch.tensor([-torch.inf, -5.0, -3.0, -4.0]), 1)
    assert update.mask.tolist() == [False, False, True, False]


def test_carried_values_are_exact_zeros_elsewhere_even_after_nan():
    values = torch.tensor([1.0, float("nan"), torch.inf, -2.0])
    carried = carry_over(values, torch.tensor([True, True, False, True]), torch.tensor([True, False, True, True]))
    assert carried.tolist() == [1.0, 0.0, 0.0, -2.0]


@pytest.mark.parametrize("count", [-1, 3])
def test_more_than_the_live_weights_cannot_drop(count):
    weight = torch.tensor([1.0, 2.0, 0.0])
    with pytest.raises(UsageError, match="of 2 live"):
        drop_and_grow(weight, weight != 0, weight, count)


def test_shapes_must_agree():
    with pytest.raises(UsageError, match="one shape"):
        drop_and_grow(torch.ones(3), torch.ones(3, dtype=torch.bool), torch.ones(4), 1)


def test_updates_lie_equally_many_samples_apart_for_every_batch_size():
    assert [update_interval(size) for size in (4096, 512, 128, 10**6)] == [100, 800, 3200, 1]
    assert update_interval(64, samples_per_update=1000) == 16
    with pytest.raises(UsageError, match="at least one sample"):
        update_interval(0)
