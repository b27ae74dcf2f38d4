"""Weights of few bits: the grid, the error, and what stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tamis.errors import UsageError
from tamis.nn import quantise_weights, round_to_bits, sparsify


def test_three_bits_leave_seven_values_with_one_scale_per_channel() -> None:
    weight = torch.tensor([[3.0, 1.4, -0.6, 0.2], [0.3, 0.14, -0.06, 0.0]])
    torch.testing.assert_close(round_to_bits(weight, 3), torch.tensor([[3.0, 1.0, -1.0, 0.0], [0.3, 0.1, -0.1, 0.0]]))


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
def test_no_weight_moves_by_more_than_half_a_step(bits: int) -> None:
    weight = torch.randn(5, 7, 3, 3)
    rounded = round_to_bits(weight, bits)
    step = weight.abs().flatten(1).amax(1) / (2 ** (bits - 1) - 1)
    assert ((rounded - weight).abs().flatten(1).amax(1) <= step / 2 * (1 + 1e-5)).all()
    assert max(len(channel.unique()) for channel in rounded) <= 2**bits - 1
    torch.testing.assert_close(round_to_bits(rounded, bits), rounded)  # what lies on the grid stays


def test_a_channel_of_zeros_stays_zero() -> None:
    assert torch.equal(round_to_bits(torch.zeros(2, 3), 4), torch.zeros(2, 3))


def test_a_model_is_copied_and_only_its_weights_are_rounded() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rounded = quantise_weights(model, 3).state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    changed = {name for name, tensor in rounded.items() if not torch.equal(before[name], tensor)}
    assert changed == {"0.weight", "3.weight"}


def test_pruned_weights_of_a_packed_model_stay_zero() -> None:
    model = nn.Sequential(nn.Linear(64, 64))
    mask = torch.rand(64, 64) < 0.95
    with torch.no_grad():
        model[0].weight[mask] = 0
    sparsify(model)
    rounded = quantise_weights(model, 8)
    assert not rounded[0].weight[mask].any()
    assert rounded[0].weight.shape == (64, 64)


def test_what_cannot_be_rounded_is_refused() -> None:
    with pytest.raises(UsageError, match="bits=1"):
        round_to_bits(torch.ones(1, 1), 1)
    with pytest.raises(UsageError, match="no convolution or linear layer"):
        quantise_weights(nn.BatchNorm2d(3), 8)
