import json
import warnings
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from tamis.errors import UsageError
from tamis.transfer import mean_per_class, score, top1

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "transfer_small.json").read_text())["metrics"]


def test_the_worked_example_has_its_accuracies():
    y, predictions = torch.tensor(CASES[0]["y"]), torch.tensor(CASES[0]["pred"])
    found = score(y, predictions, CASES[0]["classes"])
    assert found.top1 == CASES[0]["top1"]
    assert found.mean_per_class == pytest.approx(CASES[0]["mean_per_class"], abs=1e-6)


def test_a_class_without_a_test_sample_is_left_out_with_a_warning():
    y, predictions = torch.tensor(CASES[1]["y"]), torch.tensor(CASES[1]["pred"])
    with pytest.warns(UserWarning, match="1 of 3 classes have no test sample"):
        found = mean_per_class(y, predictions, CASES[1]["classes"])
    assert found == pytest.approx(CASES[1]["mean_per_class"], abs=1e-6)


def test_both_metrics_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    y = torch.cat([torch.arange(7), torch.randint(7, (93,), generator=generator) ** 2 % 7])
    predictions = torch.randint(7, (100,), generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(y, predictions, 7)
    assert found.top1 == pytest.approx(accuracy_score(y, predictions))
    assert found.mean_per_class == pytest.approx(balanced_accuracy_score(y, predictions))


def test_shapes_that_differ_are_refused():
    with pytest.raises(UsageError, match="expected"):
        top1(torch.zeros(3, dtype=torch.long), torch.zeros(2, dtype=torch.long))
