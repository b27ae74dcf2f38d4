"""How far two models agree: the dense and the sparse one of a pair, from their logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError


@dataclass(frozen=True)
class PairMetrics:
    """Agreement of two classifiers over the same samples, in nats.

    Attributes:
        top1_agreement: share of samples with the same most likely class.
        mean_kl: mean of KL(dense || sparse) of the softmax outputs.
        mean_cross_entropy: mean of -sum(p_dense * log p_sparse).
        samples: number of samples.
    """

    top1_agreement: float
    mean_kl: float
    mean_cross_entropy: float
    samples: int


def pair_metrics(dense_logits: Tensor, sparse_logits: Tensor) -> PairMetrics:
    """Compare the outputs of a dense and a sparse model, the dense one being the reference.

    Computed in float64.  A diagnostic of the pair that one AC/DC run yields (Peste et al., NeurIPS 2021).

    Args:
        dense_logits: (samples, classes) logits, any floating dtype.
        sparse_logits: the same shape, for the same samples in the same order.

    Raises:
        UsageError: the shapes differ, are not two-dimensional, or there is no sample.
    """
    if dense_logits.shape != sparse_logits.shape or dense_logits.dim() != 2 or dense_logits.numel() == 0:
        raise UsageError(
            "expected two logit tensors of the same shape (samples, classes), not empty; "
            f"got {tuple(dense_logits.shape)} and {tuple(sparse_logits.shape)}"
        )
    log_dense = torch.log_softmax(dense_logits.detach().double(), dim=1)
    log_sparse = torch.log_softmax(sparse_logits.detach().double(), dim=1)
    p_dense = log_dense.exp()
    cross_entropy = -(p_dense * log_sparse).sum(dim=1)
    kl = (p_dense * (log_dense - log_sparse)).sum(dim=1)
    agree = dense_logits.argmax(dim=1) == sparse_logits.argmax(dim=1)
    return PairMetrics(
        top1_agreement=float(agree.double().mean()),
        mean_kl=float(kl.mean()),
        mean_cross_entropy=float(cross_entropy.mean()),
        samples=dense_logits.shape[0],
    )
