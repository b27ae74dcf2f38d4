"""benchmarks/transfer_upstreams.py: the backbones that the sweep of the study looks for, as sparse as it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmark_modules import benchmark_module
from tamis.data import synthetic
from tamis.errors import FileError
from tamis.study import load_sweep, sweep_models
from tamis.train import load_model


@pytest.fixture(scope="module")
def script():
    return benchmark_module("transfer_upstreams")


@pytest.fixture(scope="module")
def few_images():
    return synthetic(train_images=200, test_images=16, image_size=(16, 16))


@pytest.fixture(scope="module")
def trained(script, few_images, tmp_path_factory):
    """The folder of the backbones at 90 % and of the dense one, each trained with two steps an epoch."""
    out = tmp_path_factory.mktemp("upstreams")
    for name in ("dense_0", *(f"{method}_0.9" for method in script.METHODS)):
        script.train(name, few_images, out, torch.device("cpu"))
    return out


def test_it_trains_what_the_sweep_looks_for(script):
    models = sweep_models(load_sweep("transfer_tiny_imagenet"), Path(), Path())
    assert sorted(script.NAMES) == sorted(model.path for model in models)
    assert len(models) == 19


def test_images_network_and_optimizer_are_those_of_the_recipe(script, few_images):
    recipe = script.RECIPE
    assert (recipe.method, recipe.model.name, recipe.train.epochs) == ("dense", "resnet20.option_a", 12)
    images, labels = next(iter(script.shuffled(few_images, 0)))
    assert len(images) == len(labels) == recipe.train.batch_size
    plain = next(iter(script.shuffled(few_images)))[0]
    assert not torch.equal(images, plain)  # cropped and flipped, where WoodFisher sees them as they are


@pytest.mark.slow
def test_every_method_leaves_a_backbone_as_sparse_as_its_name(script, trained):
    for method in script.METHODS:
        model, _ = load_model(trained / f"{method}_0.9" / "models" / "sparse.safetensors")
        summary = json.loads((trained / f"{method}_0.9" / "summary.json").read_text(encoding="utf-8"))
        assert summary["method"] == method
        assert summary["sparsity"] == script.zeros(model)
        if method != "str":  # STR's threshold grows by itself, and in so few steps not far
            assert summary["sparsity"] == pytest.approx(0.9, abs=0.01), method


@pytest.mark.slow
def test_woodfisher_and_tickets_begin_from_the_dense_network(script, trained, few_images, tmp_path):
    with pytest.raises(FileError, match=r"dense_0.*no such file"):
        script.train("ltht_0.9", few_images, tmp_path, torch.device("cpu"))
    dense, _ = load_model(trained / "dense_0" / "models" / "dense.safetensors")
    ticket, _ = load_model(trained / "ltht_0.9" / "models" / "sparse.safetensors")
    first, kept = dense.get_parameter("conv1.weight"), ticket.get_parameter("conv1.weight")
    live = kept != 0
    assert torch.corrcoef(torch.stack([first[live], kept[live]]))[0, 1] > 0.9
