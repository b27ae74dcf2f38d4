"""Training on several labels: exact sparsity at the end, a dense baseline without zeros, equal images for both."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tamis.data import AttributeData, AttributeSplit, TintedDigits
from tamis.errors import UsageError
from tamis.nn import sparsify
from tamis.train import AttributeRecipe, Optimizer, measured_sparsity, train_attributes

QUICK = AttributeRecipe(epochs=2, batch_size=32, events=5)


@pytest.fixture(scope="module")
def data() -> AttributeData:
    """160 training images of 8x8 pixels."""
    whole = TintedDigits(size=8, variants=1).generate()
    part = whole.train
    few = AttributeSplit(
        part.images[:160], part.attributes[:160], part.identities[:160], part.ids[:160], part.base[:160]
    )
    return replace(whole, train=few)


def test_pruning_ends_on_the_target_to_a_single_weight(data: AttributeData) -> None:
    # published schedules stopped at 99.466 % and 99.488 % of 99.5 %
    run = train_attributes(replace(QUICK, sparsity=0.9), data)
    weights = [layer.weight for layer in run.model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    total = sum(weight.numel() for weight in weights)
    live = sum(int((weight != 0).sum()) for weight in weights)
    assert total == 94_304
    assert live == total - int(0.9 * total)
    assert run.sparsity == 1 - live / total
    assert run.steps == 10


def test_a_dense_baseline_has_no_pruned_weight(data: AttributeData) -> None:
    # a published configuration called dense pruned to 95 %
    run = train_attributes(QUICK, data)
    assert run.sparsity == 0.0
    assert all(bool((layer.weight != 0).all()) for layer in run.model.modules() if isinstance(layer, nn.Conv2d))


def test_dense_and_pruned_runs_see_the_same_weights_and_images_until_the_first_event(data: AttributeData) -> None:
    # one step of five, and no event before the last: the first four steps must be equal
    late = replace(QUICK, epochs=1, start=0.98, end=1.0, events=2, sparsity=0.5)
    dense, pruned = train_attributes(replace(late, sparsity=0.0), data), train_attributes(late, data)
    alive = pruned.model.get_parameter("conv2.weight") != 0
    assert 0 < int(alive.sum()) < alive.numel()
    assert torch.equal(
        pruned.model.get_parameter("conv2.weight")[alive], dense.model.get_parameter("conv2.weight")[alive]
    )
    assert pruned.loss == dense.loss


def test_the_same_seed_gives_the_same_network_and_another_seed_another(data: AttributeData) -> None:
    recipe = replace(QUICK, sparsity=0.8, epochs=1)
    one, two = (train_attributes(recipe, data).model.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = train_attributes(replace(recipe, seed=1), data).model.state_dict()
    assert not torch.equal(one["fc.weight"], other["fc.weight"])


def test_targets_may_be_one_attribute_or_an_identity_and_an_attribute(data: AttributeData) -> None:
    single = train_attributes(replace(QUICK, epochs=1, targets=("Thick",)), data)
    both = train_attributes(replace(QUICK, epochs=1, targets=("Warm", "Thick")), data)
    assert single.model(torch.zeros(1, 3, 8, 8)).shape == (1, 1)
    assert both.model(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
    assert both.targets == ("Warm", "Thick")
    assert train_attributes(replace(QUICK, epochs=1), data).targets == data.attributes


def test_pruning_after_training_starts_from_the_given_weights(data: AttributeData) -> None:
    dense = train_attributes(QUICK, data)
    still = replace(
        QUICK, sparsity=0.5, schedule="constant", optimizer=Optimizer(name="adam", lr=1e-12, weight_decay=0.0)
    )
    pruned = train_attributes(still, data, dense.model.state_dict())
    alive = pruned.model.get_parameter("conv3.weight") != 0
    before = dense.model.get_parameter("conv3.weight")
    torch.testing.assert_close(pruned.model.get_parameter("conv3.weight")[alive], before[alive], rtol=0, atol=1e-8)
    kept, lost = before[alive].abs().min(), before[~alive].abs().max()
    assert kept >= lost * (1 - 1e-4)  # the smallest magnitudes went


def test_weights_of_another_network_and_unknown_targets_are_refused(data: AttributeData) -> None:
    with pytest.raises(UsageError, match="those of another network"):
        train_attributes(QUICK, data, {"fc.weight": torch.zeros(1)})
    with pytest.raises(UsageError, match="has no 'Nose'"):
        train_attributes(replace(QUICK, targets=("Nose",)), data)


@pytest.mark.parametrize(
    ("key", "value"),
    [("sparsity", 1.0), ("epochs", 0), ("batch_size", 0), ("events", 1), ("start", 0.8), ("seed", -1), ("end", 1.1)],
)
def test_a_value_out_of_range_is_refused_by_its_key(key: str, value: float) -> None:
    with pytest.raises(UsageError, match=key):
        replace(QUICK, **{key: value})


def test_sparsity_is_measured_in_packed_layers_too() -> None:
    model = nn.Sequential(nn.Linear(100, 100))
    with torch.no_grad():
        model[0].weight[torch.arange(100) < 90] = 0
    assert measured_sparsity(model) == 0.9
    assert measured_sparsity(sparsify(model)) == 0.9
