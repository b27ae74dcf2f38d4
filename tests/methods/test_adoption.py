"""What attach takes charge of, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from method_runs import Tied, mlp, train
from torch import nn, optim

from tamis.errors import UsageError
from tamis.methods import GMP, OneShot


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


class LanguageModel(nn.Module):
    """An embedding, a layer, and a head that has the embedding's weight."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.inner = nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight


def governed(model, **options):
    sparsifier = OneShot(0.9, **options).attach(model, optim.SGD(model.parameters(), 0.1))
    return list(sparsifier.masks)


def test_an_embedding_that_a_head_shares_is_left_dense_and_named_once():
    model = LanguageModel()
    before = model.embed.weight.detach().clone()
    with pytest.warns(UserWarning, match=r"not pruned, .*: head with embed; exclude them .* include='\*'") as caught:
        assert governed(model) == ["inner"]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert torch.equal(model.embed.weight, before)


@pytest.mark.parametrize("name", ["head", "embed"])
def test_excluding_either_owner_of_a_shared_embedding_says_the_same_without_a_warning(name):
    assert governed(LanguageModel(), exclude=name) == ["inner"]


def test_a_shared_embedding_is_pruned_where_include_matches_its_layer_but_not_the_embedding():
    model = LanguageModel()
    assert governed(model, include=("inner", "head")) == ["inner", "head"]
    assert float((model.embed.weight == 0).float().mean()) > 0.5
    assert governed(LanguageModel(), include="*") == ["inner", "head"]
    with pytest.raises(UsageError, match="no prunable layer matches 'embed'"):
        governed(LanguageModel(), include="embed")


def test_a_model_whose_only_layer_has_an_embeddings_weight_is_refused_and_told_why():
    model = LanguageModel()
    del model.inner
    with pytest.raises(UsageError, match=r"no other layer to prune; not pruned, .* head with embed"):
        governed(model)


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_a_weight_of_two_layers_is_known_by_the_names_of_both(name):
    assert governed(Tied(), exclude=name) == ["head"]
    assert governed(Tied(), include=name) == ["encode"]


@pytest.mark.parametrize("options", [{"exclude": "*"}, {"include": "0", "exclude": ["0"]}, {"include": ()}])
def test_patterns_that_leave_nothing_are_named_with_the_layers_of_the_model(options):
    with pytest.raises(UsageError, match=r"include=.* and exclude=.* leave none .* \['0', '3', '5'\]"):
        governed(mlp(), **options)
