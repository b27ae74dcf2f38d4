"""The memorisation probe."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import MemorisationProbe

LABELS = torch.arange(400) % 10


def test_only_the_probe_gets_random_labels():
    probe = MemorisationProbe.draw(LABELS, classes=10, samples=120, seed=4)
    changed = probe.relabel(LABELS)
    inside = probe.holds(torch.arange(400))
    assert int(inside.sum()) == 120
    assert torch.equal(changed[~inside], LABELS[~inside])
    assert torch.equal(changed[probe.indices], probe.random_labels)
    assert torch.equal(LABELS, torch.arange(400) % 10)
    assert torch.equal(probe.true_labels, LABELS[probe.indices])


def test_random_labels_are_uniform_and_may_hit_the_truth():
    labels = torch.zeros(20000, dtype=torch.int64)
    probe = MemorisationProbe.draw(labels, classes=4, samples=20000, seed=1)
    shares = torch.bincount(probe.random_labels, minlength=4) / 20000
    assert float((shares - 0.25).abs().max()) < 0.0123  # four standard errors of a share of 20,000


def test_the_same_seed_draws_the_same_probe():
    first, second = (MemorisationProbe.draw(LABELS, 10, 50, seed=7) for _ in range(2))
    assert torch.equal(first.indices, second.indices)
    assert torch.equal(first.random_labels, second.random_labels)
    assert not torch.equal(first.indices, MemorisationProbe.draw(LABELS, 10, 50, seed=8).indices)


def test_a_model_that_knows_the_truth_scores_on_true_labels():
    inputs = F.one_hot(LABELS, 10).float() * 8
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity())
    model.train()
    probe = MemorisationProbe.draw(LABELS, 10, 100)
    row = probe.measure(model, inputs, batch_size=33)
    logits = inputs[probe.indices]
    assert row["true_accuracy"] == 1.0
    hits = float((probe.random_labels == probe.true_labels).float().mean())
    assert row["random_accuracy"] == pytest.approx(hits)
    assert row["random_loss"] == pytest.approx(float(F.cross_entropy(logits, probe.random_labels)))
    assert row["true_loss"] == pytest.approx(float(F.cross_entropy(logits, probe.true_labels)))
    assert model.training
    assert model[0].training


@pytest.mark.parametrize(("classes", "samples"), [(10, 0), (10, 401), (1, 10)])
def test_impossible_probes_are_refused(classes, samples):
    with pytest.raises(UsageError, match="1 to 400 samples and at least 2 classes"):
        MemorisationProbe.draw(LABELS, classes, samples)
