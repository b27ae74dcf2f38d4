"""Agreement of the dense and the sparse model of a pair."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import pair_metrics


def test_the_golden_metrics_are_reproduced(pruning_vectors):
    golden = pruning_vectors["pair_metrics"]
    dense = torch.tensor(golden["logits_dense"], dtype=torch.float64)
    sparse = torch.tensor(golden["logits_sparse"], dtype=torch.float64)
    metrics = pair_metrics(dense, sparse)
    assert metrics.top1_agreement == pytest.approx(golden["top1_agreement"], rel=1e-11)
    assert metrics.mean_kl == pytest.approx(golden["mean_KL_dense_to_sparse"], rel=1e-10)
    assert metrics.mean_cross_entropy == pytest.approx(golden["mean_cross_entropy_dense_to_sparse"], rel=1e-10)
    assert metrics.samples == 3


def test_a_model_agrees_with_itself():
    logits = torch.randn(5, 4)
    metrics = pair_metrics(logits, logits)
    assert (metrics.top1_agreement, metrics.mean_kl) == (1.0, 0.0)
    entropy = -(logits.double().softmax(1) * logits.double().log_softmax(1)).sum(1).mean()
    assert metrics.mean_cross_entropy == pytest.approx(float(entropy), rel=1e-14)


def test_kl_is_not_symmetric_and_the_dense_model_is_the_reference():
    confident, unsure = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    assert pair_metrics(confident, unsure).mean_kl < pair_metrics(unsure, confident).mean_kl


def test_extreme_logits_stay_finite():
    metrics = pair_metrics(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]]))
    assert metrics.mean_kl == pytest.approx(1e4)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_logits_that_do_not_belong_together_are_refused(shapes):
    with pytest.raises(UsageError, match="same shape"):
        pair_metrics(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
