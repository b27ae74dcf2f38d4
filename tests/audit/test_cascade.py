"""The cascade: equal to one model at each end, the dense model runs only where it is asked, and the cost is counted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tamis.audit import Cascade, collect, unsure_classes, unsure_labels
from tamis.errors import UsageError
from tamis.nn import is_packed, sparsify


class Table(nn.Module):
    """Answers row ``i`` of a table for the input ``i`` and notes what it was asked."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows, self.asked = torch.tensor(rows), []  # type: ignore[var-annotated]

    def forward(self, inputs: Tensor) -> Tensor:
        self.asked.append(inputs[:, 0].long().tolist())
        return self.rows[inputs[:, 0].long()]


SURE, UNSURE = 3.0, 0.1  # p = 0.953 and 0.525
SPARSE = [[SURE, -SURE], [UNSURE, SURE], [-SURE, -UNSURE], [SURE, SURE]]
DENSE = [[9.0, 9.0], [8.0, 8.0], [7.0, 7.0], [6.0, 6.0]]
ROWS = torch.arange(4.0)[:, None]


def test_only_unsure_answers_are_replaced_and_only_their_samples_run() -> None:
    cascade = Cascade(dense := Table(DENSE), Table(SPARSE), half_width=0.2)
    answers = cascade(ROWS)
    assert torch.equal(answers, torch.tensor([SPARSE[0], [8.0, SURE], [-SURE, 7.0], SPARSE[3]]))
    assert dense.asked == [[1, 2]]
    assert (cascade.cost.samples, cascade.cost.samples_asked) == (4, 2)
    assert (cascade.cost.answers, cascade.cost.answers_asked) == (8, 2)
    assert (cascade.cost.share_of_samples, cascade.cost.share_of_answers) == (0.5, 0.25)


def test_nothing_is_asked_at_zero_and_everything_above_one_half() -> None:
    never = Cascade(dense := Table(DENSE), Table(SPARSE), half_width=0.0)
    assert torch.equal(never(ROWS), torch.tensor(SPARSE))
    assert dense.asked == []
    always = Cascade(dense, Table(SPARSE), half_width=0.51)
    assert torch.equal(always(ROWS), torch.tensor(DENSE))
    assert dense.asked == [[0, 1, 2, 3]]


def test_classes_are_asked_by_their_margin_and_replaced_as_a_row() -> None:
    sparse = [[2.0, 1.9, 0.0], [9.0, 0.0, 0.0]]
    dense = [[1.0, 5.0, 1.0], [0.0, 0.0, 5.0]]
    cascade = Cascade.for_classes(Table(dense), Table(sparse), margin=0.2)
    assert torch.equal(cascade(ROWS[:2]), torch.tensor([dense[0], sparse[1]]))
    assert (cascade.cost.answers, cascade.cost.answers_asked) == (2, 1)
    assert Cascade.for_classes(Table(dense), Table(sparse), 0.0)(ROWS[:2]).tolist() == torch.tensor(sparse).tolist()
    assert Cascade.for_classes(Table(dense), Table(sparse), 1.01)(ROWS[:2]).tolist() == torch.tensor(dense).tolist()


def _convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.Flatten(),
        nn.Linear(32 * 64, 5),
    ).eval()  # fmt: skip


def _pruned(model: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        for layer in (model[3], model[5]):
            layer.weight[layer.weight.abs() < layer.weight.abs().quantile(0.95)] = 0
    return model


@pytest.mark.parametrize("packed", [False, True])
def test_real_networks_are_exact_at_both_ends(packed: bool) -> None:
    dense, sparse = _convolutional(), _pruned(_convolutional())
    if packed:
        sparsify(sparse)
        assert is_packed(sparse[5])
    images = torch.randn(16, 3, 8, 8)
    with torch.no_grad():
        one, other = sparse(images), dense(images)
    assert torch.equal(Cascade(dense, sparse, 0.0)(images), one)
    assert torch.equal(Cascade(dense, sparse, 0.51)(images), other)
    between = Cascade(dense, sparse, 0.01)
    mixed, unsure = between(images), unsure_labels(one, 0.01)
    assert 0 < int(unsure.sum()) < unsure.numel()
    assert torch.equal(mixed[~unsure], one[~unsure])
    torch.testing.assert_close(mixed[unsure], other[unsure])
    assert between.cost.answers_asked == int(unsure.sum())
    assert between.cost.sparse_s > 0 < between.cost.dense_s


def test_costs_add_up_over_batches_until_they_are_reset() -> None:
    cascade = Cascade(Table(DENSE), Table(SPARSE), half_width=0.2)
    for rows in ROWS.split(1):
        cascade(rows)
    assert (cascade.cost.samples, cascade.cost.samples_asked) == (4, 2)
    assert "2 of 4 samples (50.0%), 2 of 8 answers (25.0%)" in str(cascade.cost)
    cascade.reset_cost()
    assert cascade.cost.samples == 0
    assert cascade.cost.share_of_samples != cascade.cost.share_of_samples  # NaN


@given(st.lists(st.floats(-6, 6), min_size=1, max_size=20), st.floats(0, 0.6), st.floats(0, 0.6))
def test_a_wider_gate_asks_for_at_least_as_much(logits: list[float], one: float, two: float) -> None:
    narrow, wide = sorted((one, two))
    table = torch.tensor(logits)[:, None]
    assert (unsure_labels(table, narrow) <= unsure_labels(table, wide)).all()


def test_the_gate_is_a_distance_on_both_sides() -> None:
    # abs((p - .5) < h) once counted every p below .9 as uncertain; p = .05 is sure
    p = torch.tensor([[0.05, 0.11, 0.5, 0.89, 0.95]], dtype=torch.float64)
    assert unsure_labels(p.logit(), 0.4).tolist() == [[False, True, True, True, False]]


def test_a_cascade_is_for_inference_only() -> None:
    dense, sparse = _convolutional(), _convolutional()
    cascade = Cascade(dense.train(), sparse)
    assert not dense.training
    with pytest.raises(UsageError, match="for inference; train its dense"):
        cascade.train()
    dense.train()
    with pytest.raises(UsageError, match="dense is in training mode"):
        cascade(torch.zeros(1, 3, 8, 8))
    dense.eval()
    assert not cascade(torch.zeros(1, 3, 8, 8)).requires_grad


def test_models_that_answer_different_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"dense model answers \(4, 1\), the sparse one \(4, 2\)"):
        Cascade(Table([[1.0]] * 4), Table(SPARSE), 0.51)(ROWS)
    with pytest.raises(UsageError, match="half_width=-1"):
        Cascade(Table(DENSE), Table(SPARSE), -1.0)
    with pytest.raises(UsageError, match="at least two classes"):
        unsure_classes(torch.zeros(3, 1), 0.1)


def test_outputs_of_a_cascade_can_be_collected() -> None:
    cascade = Cascade(Table(DENSE), Table(SPARSE), half_width=0.2)
    outputs = collect(cascade, [(ROWS, torch.arange(4))], names=("a", "b"), method="cascade", level=0.9)
    assert torch.equal(torch.from_numpy(outputs.logits), cascade(ROWS))
