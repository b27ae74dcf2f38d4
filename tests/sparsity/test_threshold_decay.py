"""The prediction of STR's threshold under decay alone."""

from __future__ import annotations

import math

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import decay_for_logit, decayed_logit, logit_for_sparsity, soft_threshold, sparsity_of


def test_decay_and_its_inverse_agree():
    rates = [0.2, 0.1, 0.05]
    assert decayed_logit(-10.0, 0.5, rates, 0.5) == pytest.approx(-10.0 * math.exp(-0.35))
    for final in (-9.0, -1.0, -1e-3):
        assert decayed_logit(-10.0, decay_for_logit(-10.0, final, rates, 0.9), rates, 0.9) == pytest.approx(final)


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_the_logit_of_a_sparsity_removes_that_share(sparsity):
    weights = {"a": 0.3 * torch.randn(50, 20, dtype=torch.float64), "b": 0.1 * torch.randn(500, dtype=torch.float64)}
    weights["a"].clamp_(-0.99, 0.99)
    logit = torch.tensor(logit_for_sparsity(weights, sparsity) + 1e-9, dtype=torch.float64)
    live = {name: soft_threshold(weight, logit) != 0 for name, weight in weights.items()}
    assert sparsity_of(live) == pytest.approx(sparsity, abs=1e-12)


def test_what_decay_cannot_do_is_refused():
    for initial, final in ((-1.0, -2.0), (-1.0, 1.0), (-1.0, 0.0)):
        with pytest.raises(UsageError, match="decay moves a logit towards 0"):
            decay_for_logit(initial, final, [0.1])
    with pytest.raises(UsageError, match="learning rates of positive sum"):
        decay_for_logit(-2.0, -1.0, [])
    with pytest.raises(UsageError, match="decay >= 0"):
        decayed_logit(-2.0, -1.0, [0.1])
    with pytest.raises(UsageError, match="needs the threshold 3"):
        logit_for_sparsity({"a": torch.tensor([3.0, 3.0])}, 0.5)
    with pytest.raises(UsageError, match="needs the threshold 0"):
        logit_for_sparsity({"a": torch.tensor([3.0, 3.0])}, 0.0)
