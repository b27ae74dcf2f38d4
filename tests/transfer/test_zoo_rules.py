"""What a key means, which zeros are a mask, and what files and rules are refused."""

import json
import warnings
from pathlib import Path

import pytest
import torch

from tamis.errors import FileError, UsageError
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
    soft_threshold,
    translate,
    unregister_style,
)

from .zoo_files import agree, save, sparse_network

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "transfer_small.json").read_text())


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


def test_a_folder_without_a_checkpoint_and_a_pickle_are_refused(tmp_path):
    with pytest.raises(FileError, match="a folder without"):
        read_sparse_state(tmp_path)
    torch.save({"state_dict": {"w": torch.ones(1)}, "args": Path("x")}, tmp_path / "code.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FileError, match="code"):
            read_sparse_state(tmp_path / "code.pth")


@pytest.mark.parametrize("middle", ["x", "", "1" * 5000, "1.5"])
def test_a_rule_that_adds_to_a_number_matches_nothing_where_there_is_none(middle):
    rule = KeyRule(r"f\.(.*)\.(\w+)", "m.<1+1>.<2>")
    assert rule.translate("f.12.w") == "m.13.w"
    assert rule.translate(f"f.{middle}.w") is None
