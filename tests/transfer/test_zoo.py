"""Checkpoints of every style become the same network with the same masks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

import tamis
from tamis.errors import UsageError
from tamis.models import create_model
from tamis.nn import prunable_modules, sparsify
from tamis.train import export_model, save_checkpoint
from tamis.transfer import (
    load_backbone,
    read_sparse_state,
    replace_head,
)

from .zoo_files import agree, disturbed, save, sparse_network


def test_zeros_alone_are_a_mask(tmp_path):
    model, masks = sparse_network()
    backbone = load_backbone(save(model.state_dict(), tmp_path / "zeros.pth"))
    agree(backbone, model, masks)
    assert backbone.architecture["name"] == "resnet20.option_a"
    assert backbone.state.styles == ("plain",)
    assert {row.source for row in backbone.state.layers} == {"zeros"}
    assert "fc" not in {row.layer for row in backbone.state.layers}


def test_data_parallel_checkpoints_in_containers_load(tmp_path):
    model, masks = sparse_network()
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    for container in ("state_dict", "model_state_dict", "model"):
        torch.save({"epoch": 3, container: state}, tmp_path / "parallel.pth")
        backbone = load_backbone(tmp_path / "parallel.pth")
        agree(backbone, model, masks)
        assert backbone.state.styles == ("data_parallel",)


def wrapped_state(model, masks):
    state = {}
    for key, value in model.state_dict().items():
        owner, _, leaf = key.rpartition(".")
        if owner in masks and leaf == "weight":
            state[f"{owner}._layer.weight"] = disturbed(value, masks[owner])
            state[f"{owner}._weight_mask"] = masks[owner].float()
        elif owner == "fc":
            state[f"fc._layer.{leaf}"] = value
            state[f"fc._{leaf}_mask"] = torch.ones_like(value)
        else:
            state[key] = value
    return state


def test_wrapped_layers_with_masks_load(tmp_path):
    model, masks = sparse_network()
    state = {f"module.{key}": value for key, value in wrapped_state(model, masks).items()}
    backbone = load_backbone(save(state, tmp_path / "wrapped.pth", epoch=1))
    agree(backbone, model, masks)
    assert backbone.state.styles == ("data_parallel", "wrapped")
    assert {row.source for row in backbone.state.layers} == {"explicit mask"}


def test_networks_pruned_with_torch_load(tmp_path):
    model, masks = sparse_network()
    for name, layer in prunable_modules(model, exclude="fc").items():
        with torch.no_grad():
            layer.weight.copy_(disturbed(layer.weight, masks[name]))
        prune.custom_from_mask(layer, "weight", masks[name])
    backbone = load_backbone(save(model.state_dict(), tmp_path / "prune.pth"))
    agree(backbone, model, masks)
    assert backbone.state.styles == ("prune",)


def test_str_thresholds_are_applied_and_its_convolutional_head_is_reshaped(tmp_path):
    model, _ = sparse_network("resnet18", share=1.0)
    state, threshold = {}, torch.full((1, 1), -3.0)
    for key, value in model.state_dict().items():
        state[key] = value
        if key.removesuffix(".weight") in prunable_modules(model):
            state[key.replace("weight", "sparseThreshold")] = threshold
    state["fc.weight"] = state["fc.weight"][:, :, None, None]
    del state["fc.bias"]
    backbone = load_backbone(save(state, tmp_path / "str.pth", arch="resnet18"))
    with torch.no_grad():
        for layer in prunable_modules(model, exclude="fc").values():
            weight, cut = layer.weight, torch.sigmoid(torch.tensor(-3.0))
            layer.weight.copy_(weight.sign() * (weight.abs() - cut).clamp_min(0))
        replace_head(model, 10, 0)
        replace_head(backbone.model, 10, 0)
    agree(backbone, model, {name: layer.weight != 0 for name, layer in prunable_modules(model, exclude="fc").items()})
    assert backbone.state.styles == ("str",)
    assert backbone.state.tensors["fc.weight"].shape == (10, 512)
    assert {row.source for row in backbone.state.layers} == {"soft threshold"}


class PadRightAndBottom(nn.Module):
    """TensorFlow's SAME padding of a pool of stride 2 on an even side, written out."""

    def forward(self, x):
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)


def rigl_state(model):
    """The names of the checkpoints that were converted from TensorFlow."""
    state = {}
    for key, value in model.state_dict().items():
        parts = key.split(".")
        if parts[0] in ("conv1", "bn1"):
            key = f"initial_conv.{parts[0][:-1]}.{parts[1]}"
        elif parts[0].startswith("layer"):
            stage, block, unit, *rest = parts
            if unit == "downsample":
                key = f"{stage}.block.{block}.shortcut.{'conv' if rest[0] == '0' else 'bn'}.{rest[1]}"
            else:
                kind, number = unit[:-1], unit[-1]
                key = f"{stage}.block.{block}.conv{number}.{kind}.{rest[0]}"
        state[key] = value
    return state


def test_rigl_names_are_translated_and_the_stem_pool_is_replaced(tmp_path):
    model, masks = sparse_network("resnet18")
    model.maxpool = PadRightAndBottom()
    backbone = load_backbone(save(rigl_state(model), tmp_path / "rigl.pth"))
    agree(backbone, model, masks, size=64)
    assert backbone.state.styles == ("rigl_tf",)
    assert backbone.state.interpolation == "bicubic"
    assert backbone.architecture["stem"] == "tensorflow"


def test_renaming_a_rigl_checkpoint_alone_would_compute_other_numbers(tmp_path):
    model, _ = sparse_network("resnet18")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        padded = model(images)
        model.maxpool = PadRightAndBottom()
        assert not torch.allclose(model(images), padded, rtol=1e-2)


def test_a_transferred_rigl_network_keeps_its_pool_when_tamis_writes_it(tmp_path):
    model, _ = sparse_network("resnet18")
    backbone = load_backbone(save(rigl_state(model), tmp_path / "rigl.pth"))
    export_model(backbone.model, tmp_path / "own.safetensors", "sparse", {"architecture": backbone.architecture})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(load_backbone(tmp_path / "own.safetensors").model(images), backbone.model(images))


def test_mobilenet_of_amc_is_exact(tmp_path):
    model, masks = sparse_network("mobilenet_v1")
    state = {}
    for key, value in model.state_dict().items():
        head, *rest = key.split(".")
        if head == "model" and rest[0] == "0":
            key = ".".join(["conv1", *rest[1:]])
        elif head == "model":
            key = ".".join(["features", str(int(rest[0]) - 1), *rest[1:]])
        else:
            key = f"classifier.0.{rest[0]}"
        state[key] = value
    with pytest.raises(UsageError, match=r"mobilenet_v1\.cifar and mobilenet_v1\.imagenet"):
        load_backbone(save(state, tmp_path / "amc.pth"))
    backbone = load_backbone(tmp_path / "amc.pth", "mobilenet_v1")
    agree(backbone, model, masks)
    assert backbone.state.styles == ("mobilenet_amc",)


def test_names_of_torchvision_need_no_style(tmp_path):
    model, masks = sparse_network("resnet18", num_classes=1000)
    backbone = load_backbone(save(model.state_dict(), tmp_path / "torchvision.pth"))
    agree(backbone, model, masks, size=64)
    assert backbone.architecture == {"name": "resnet18.imagenet", "num_classes": 1000, "in_channels": 3}


def test_packed_files_of_tamis_load_with_the_mask_of_their_pattern(tmp_path):
    model, masks = sparse_network("resnet8_digits", in_channels=3)
    with torch.no_grad():  # a live weight that is zero stays live: the pattern is explicit
        first = next(iter(masks))
        place = masks[first].nonzero()[0]
        model.get_submodule(first).weight[tuple(place)] = 0.0
    sparsify(model, masks)
    architecture = {"name": "resnet8_digits", "num_classes": 10, "in_channels": 3}
    save_checkpoint(tmp_path / "packed.safetensors", model, architecture=architecture, method="acdc", sparsity=0.8)
    backbone = load_backbone(tmp_path / "packed.safetensors")
    agree(backbone, model, masks)
    assert backbone.state.styles == ("tamis_packed",)
    assert backbone.state.provenance["method"] == "acdc"
    assert next(row for row in backbone.state.layers if row.layer == first).active_zeros == 1


def test_checkpoints_of_a_run_load_with_the_masks_of_their_method(tmp_path):
    model, _ = sparse_network("resnet8_digits", share=1.0, in_channels=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = tamis.OneShot(0.8, exclude=("fc",), packed=False).attach(model, optimizer)
    masks = sparsifier.masks
    architecture = {"name": "resnet8_digits", "num_classes": 10, "in_channels": 3}
    save_checkpoint(tmp_path / "run.safetensors", model, optimizer, sparsifier, architecture=architecture)
    backbone = load_backbone(tmp_path / "run.safetensors")
    agree(backbone, model, masks)
    assert backbone.state.styles == ("tamis_masked",)


def test_a_module_of_ones_own_takes_a_checkpoint(tmp_path):
    model, _ = sparse_network()
    other = create_model("resnet20", 7)
    backbone = load_backbone(save(model.state_dict(), tmp_path / "own.pth"), other)
    assert backbone.model is other
    assert backbone.architecture == {}
    assert torch.equal(other.layer1[0].conv1.weight, model.layer1[0].conv1.weight)


def test_the_head_of_ones_own_module_is_not_counted_whatever_its_name(tmp_path):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.verdict = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 5)

    model = Own()
    with torch.no_grad():
        for weight in (model.conv.weight, model.verdict.weight):
            weight.flatten()[::2] = 0
    backbone = load_backbone(save(model.state_dict(), tmp_path / "own.pth"), Own())
    assert [row.layer for row in backbone.state.layers] == ["conv"]
    assert backbone.state.sparsity == 0.5
    assert list(backbone.masks) == ["conv"]


def test_a_head_of_any_size_is_replaced_by_one_initial_head_for_all(tmp_path):
    first, second = create_model("resnet20", 10), create_model("resnet20", 3)
    before = torch.random.get_rng_state()
    one, two = replace_head(first, 5, 7), replace_head(second, 5, 7)
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)
    assert torch.equal(before, torch.random.get_rng_state())
    assert float(one.weight.detach().std()) == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.1)  # torch's default


def test_equal_weights_have_equal_digests_and_other_masks_another(tmp_path):
    model, masks = sparse_network()
    path = save(model.state_dict(), tmp_path / "a.pth")
    wrapped = save(wrapped_state(model, masks), tmp_path / "b.pth")
    assert read_sparse_state(path).sha256() == read_sparse_state(wrapped).sha256()
    with torch.no_grad():
        model.layer1[0].conv1.weight[0, 0, 0, 0] += 1
    assert read_sparse_state(save(model.state_dict(), tmp_path / "c.pth")).sha256() != read_sparse_state(path).sha256()
