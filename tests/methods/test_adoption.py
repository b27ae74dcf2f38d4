"""What attach takes charge of, and what it refuses."""

from __future__ import annotations

import pytest
from method_runs import mlp, train
from torch import optim

from tamis.errors import UsageError
from tamis.methods import GMP


def two_optimizers(model):
    first = optim.SGD(model[0].parameters(), 0.1, momentum=0.9)
    second = optim.SGD([p for i in (1, 3, 5) for p in model[i].parameters()], 0.1, momentum=0.9)
    return first, second


@pytest.mark.parametrize("packed", [True, False])
def test_weights_that_another_optimizer_trains_are_named_and_refused(packed):
    model = mlp()
    first, _ = two_optimizers(model)
    sparsifier = GMP(0.9, 10, packed=packed)
    with pytest.raises(UsageError, match=r"does not train the weights of 3, 5, .* exclude these layers, freeze them"):
        sparsifier.attach(model, first)
    assert not first._optimizer_step_pre_hooks
    sparsifier.attach(model, optim.SGD(model.parameters(), 0.1))  # nothing was claimed


def test_layers_of_another_optimizer_may_be_excluded_or_frozen():
    model = mlp()
    first, second = two_optimizers(model)
    sparsifier = GMP(0.9, 10, exclude=("3", "5")).attach(model, first)
    assert list(sparsifier._attached().layers) == ["0"]
    sparsifier.detach()
    model[0].weight.requires_grad_(False)
    frozen = GMP(0.9, 10, start=0.0, end=0.0, events=1).attach(model, second)
    train(model, second, range(3))
    assert list(frozen.masks) == ["0", "3", "5"]
    assert all(not model[int(n)].weight[~mask].any() for n, mask in frozen.masks.items())
