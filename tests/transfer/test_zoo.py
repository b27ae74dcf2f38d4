"""Checkpoints of every style become the same network with the same masks."""

import json
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

import tamis
from tamis.errors import FileError, UsageError
from tamis.models import create_model
from tamis.nn import prunable_modules, sparsify
from tamis.train import export_model, save_checkpoint
from tamis.transfer import (
    KeyRule,
    Style,
    explicit_support,
    infer_support,
    list_styles,
    load_backbone,
    read_sparse_state,
    read_style,
    register_style,
    replace_head,
    soft_threshold,
    translate,
    unregister_style,
)

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "transfer_small.json").read_text())


def sparse_network(name="resnet20", share=0.2, **options):
    """A random network in eval mode with lively batch norms, and bool masks of all layers but the head."""
    model = create_model(name, options.pop("num_classes", 10), **options).eval()
    masks = {}
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 2)
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(std=0.1)
        for layer, module in prunable_modules(model, exclude="fc").items():
            masks[layer] = (torch.rand_like(module.weight) < share) & (module.weight != 0)
            module.weight.mul_(masks[layer])
    return model, masks


def save(state, path, **around):
    torch.save({**around, "state_dict": state} if around else state, path)
    return path


def agree(backbone, model, masks, size=32):
    images = torch.randn(3, 3, size, size)
    with torch.no_grad():
        assert torch.allclose(backbone.model(images), model(images), rtol=0, atol=1e-6 * model(images).abs().max())
    assert backbone.masks.keys() == masks.keys()
    assert all(torch.equal(backbone.masks[name], mask) for name, mask in masks.items())


def disturbed(weight, mask):
    """The weight with values where it is pruned, as files with explicit masks have them."""
    return torch.where(mask, weight, torch.randn_like(weight))


# ---- round trips ---------------------------------------------------------------------------------------------------


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


# ---- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "key", "meaning"),
    # prefixes belong to whole files: test_data_parallel_checkpoints_in_containers_load
    [rule for rule in VECTORS["key_rules"] if rule[0] != "data_parallel"],
)
def test_every_key_rule_of_the_vectors(style, key, meaning):
    (chosen,) = [one for one in list_styles() if one.name == style]
    shape = (10, 2048, 1, 1) if "of shape" in key else (10, 4)
    plain = key.split(" of shape")[0]
    role, name = next(
        ((rule.role, rule.translate(plain)) for rule in chosen.rules if rule.translate(plain)), ("tensor", plain)
    )
    if meaning.startswith("mask of"):
        assert (role, name) == ("mask", meaning.removeprefix("mask of "))
    elif meaning.startswith("consumed"):
        assert (role, name) == ("threshold", "layer1.0.conv1.weight")
    elif "of shape" in meaning:
        one = torch.ones(1)
        found = translate({plain: torch.ones(shape), "conv1.sparseThreshold": one, "conv1.weight": one})
        assert found.tensors["fc.weight"].shape == (10, 2048)
    else:
        assert (role, name) == ("tensor", meaning)


@pytest.mark.parametrize("case", VECTORS["mask_inference"], ids=lambda case: case["case"])
def test_every_mask_case_of_the_vectors(case, tmp_path):
    tensors = {key: torch.tensor([float(v) for v in values]).reshape(1, -1) for key, values in case["keys"].items()}
    for key in tensors:
        if "bias" in key:
            tensors[key] = tensors[key].reshape(-1)
    path = save(tensors, tmp_path / "case.pth")
    if case.get("error"):
        with pytest.raises(FileError, match="NaN or infinite"):
            read_sparse_state(path)
        return
    state = read_sparse_state(path)
    expected = case["mask"]
    assert ("conv" in state.masks) == (expected is not None)
    if expected is not None:
        assert state.masks["conv"].flatten().int().tolist() == expected
    for name, values in {"conv.weight": case.get("weight"), **case.get("out", {})}.items():
        if values is not None:
            assert state.tensors[name].flatten().tolist() == values
    assert bool(state.warnings) == case.get("warning", False)


def test_the_soft_threshold_of_the_vectors():
    case = VECTORS["soft_threshold"]
    found = soft_threshold(torch.tensor(case["weight"]), torch.tensor(case["s"]))
    assert torch.allclose(found, torch.tensor(case["effective"], dtype=torch.float32), atol=1e-6)
    assert (found != 0).int().tolist() == case["mask"]


def test_denormal_numbers_are_no_zeros_and_few_zeros_are_no_mask():
    weight = torch.ones(1, 200)
    weight[0, 0] = 0.0
    assert infer_support("w", weight).mask is None  # 0.5 %
    assert infer_support("w", weight).active_zeros == 1
    assert infer_support("w", weight, 0.005).mask is not None
    assert infer_support("w", torch.full((1, 10), 1e-42)).mask is None


def test_a_dead_layer_and_a_dead_mask_are_told():
    assert "passes nothing on" in infer_support("w", torch.zeros(2, 2)).warning
    assert "passes nothing on" in explicit_support("w", torch.ones(2, 2), torch.zeros(2, 2)).warning


def test_masks_of_another_shape_or_with_other_values_are_refused():
    with pytest.raises(FileError, match="mask of shape"):
        explicit_support("w", torch.ones(2, 2), torch.ones(2, 3))
    with pytest.raises(FileError, match="other than 0 and 1"):
        explicit_support("w", torch.ones(2, 2), torch.full((2, 2), 0.5))


def test_a_prefix_of_some_keys_only_is_no_prefix(tmp_path):
    state = {"module.conv.weight": torch.ones(2, 2), "conv.weight": torch.ones(2, 2)}
    assert read_sparse_state(save(state, tmp_path / "mixed.pth")).tensors.keys() == state.keys()


def test_missing_and_unexpected_keys_are_named(tmp_path):
    model, _ = sparse_network()
    state = dict(model.state_dict())
    state["layer9.weight"] = state.pop("layer1.0.conv1.weight")
    with pytest.raises(FileError, match=r"closest: resnet20\.option_a.*layer1\.0\.conv1\.weight"):
        load_backbone(save(state, tmp_path / "odd.pth"))
    with pytest.raises(FileError, match=r"missing: layer1\.0\.conv1\.weight; unexpected: layer9\.weight"):
        load_backbone(tmp_path / "odd.pth", "resnet20")


def test_masks_without_their_weight_are_an_incomplete_file(tmp_path):
    state = {"conv._layer.weight": torch.ones(2, 2), "other._weight_mask": torch.ones(2, 2)}
    with pytest.raises(FileError, match=r"mask for \['other\.weight'\]"):
        read_sparse_state(save(state, tmp_path / "orphan.pth"))


def test_two_keys_of_one_meaning_are_refused():
    with pytest.raises(FileError, match="two keys mean"):
        translate({"conv._layer.weight": torch.ones(1), "conv.weight": torch.ones(1)})


def test_a_users_style_from_a_toml_file(tmp_path):
    (tmp_path / "style.toml").write_text(
        'name = "lab"\nsigns = ["stem\\\\.weight"]\n'
        '[[rules]]\npattern = "stem\\\\.(.+)"\nname = "conv1.<1>"\n'
        '[[rules]]\npattern = "alive/(.+)"\nname = "<1>.weight"\nrole = "mask"\n'
    )
    style = read_style(tmp_path / "style.toml")
    model, masks = sparse_network()
    state = dict(model.state_dict())
    state["stem.weight"] = state.pop("conv1.weight")
    state["alive/conv1"] = masks["conv1"]
    backbone = load_backbone(save(state, tmp_path / "lab.pth"), styles=[*list_styles(), style])
    agree(backbone, model, masks)
    register_style(style)
    try:
        agree(load_backbone(tmp_path / "lab.pth"), model, masks)
        with pytest.raises(UsageError, match="registered already"):
            register_style(style)
    finally:
        unregister_style("lab")


def test_bad_rules_say_what_is_wrong():
    with pytest.raises(UsageError, match="no regular expression"):
        KeyRule("(", "x")
    with pytest.raises(UsageError, match="refers to <2>"):
        KeyRule("(a)", "<2>")
    with pytest.raises(UsageError, match="at least one sign"):
        Style("x", (), ())


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


def test_a_folder_without_a_checkpoint_and_a_pickle_are_refused(tmp_path):
    with pytest.raises(FileError, match="a folder without"):
        read_sparse_state(tmp_path)
    torch.save({"state_dict": {"w": torch.ones(1)}, "args": Path("x")}, tmp_path / "code.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FileError, match="code"):
            read_sparse_state(tmp_path / "code.pth")
