"""Every network against its published size, layer table and names."""

import pytest
import torch
from torch import nn

from tamis.models import create_model

PARAMETERS = [
    ("resnet20", 10, 3, 269_722),
    ("resnet20.option_b", 10, 3, 272_474),
    ("resnet56", 10, 3, 853_018),
    ("resnet8_digits", 10, 1, 308_074),
    ("small_cnn", 10, 3, 94_304 + 10 + 2 * (32 + 64 + 128)),
    ("resnet18", 1000, 3, 11_689_512),
    ("resnet18.cifar", 10, 3, 11_173_962),
    ("resnet34", 1000, 3, 21_797_672),
    ("resnet50", 1000, 3, 25_557_032),
    ("mobilenet_v1", 1000, 3, 4_231_976),
    ("wide_resnet28_10", 10, 3, 36_479_194),
    ("wide_resnet28_10", 100, 3, 36_536_884),
]


def on_meta(name: str, num_classes: int, in_channels: int = 3, **options: object) -> nn.Module:
    """Shapes without memory: counting needs no values."""
    with torch.device("meta"):
        return create_model(name, num_classes, in_channels, **options)


def layer_table(model: nn.Module, image: tuple[int, int, int]) -> dict[str, tuple[list[int], int, int, int]]:
    """Name -> (weight shape, output positions, weights, multiply-adds) of every Conv2d and Linear, by hooks."""
    rows: dict[str, tuple[list[int], int, int, int]] = {}
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    for name, layer in layers.items():

        def record(module, _inputs, output, name=name):
            positions = output.shape[2:].numel()
            weights = module.weight.numel()
            rows[name] = (list(module.weight.shape), positions, weights, weights * positions)

        layer.register_forward_hook(record)
    model.eval()(torch.empty(1, *image, device="meta"))
    return {name: rows[name] for name in layers}


@pytest.mark.parametrize(("name", "num_classes", "in_channels", "expected"), PARAMETERS)
def test_the_number_of_parameters_is_the_published_one(name, num_classes, in_channels, expected):
    model = on_meta(name, num_classes, in_channels)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_resnet50_has_the_layer_table_of_the_golden_file(pruning_vectors):
    golden = pruning_vectors["resnet50"]
    table = layer_table(on_meta("resnet50", 1000), (3, 224, 224))
    expected = {name: (shape, side**2, weights, macs) for name, shape, side, weights, macs in golden["layers"]}
    assert {name.removesuffix(".weight"): row for name, row in expected.items()} == table
    assert len(table) == 54
    assert sum(row[2] for row in table.values()) == golden["weights"] == 25_502_912
    assert sum(row[3] for row in table.values()) == golden["macs"] == 4_089_184_256


def test_resnet50_keys_are_those_of_torchvision():
    keys = set(on_meta("resnet50", 1000).state_dict())
    batch_norm = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert {f"layer3.0.downsample.1.{part}" for part in batch_norm} <= keys
    assert {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.2.bn3.bias", "fc.weight", "fc.bias"} <= keys
    assert len(keys) == 320  # 53 convolutions, 53 batch norms of five tensors, fc's two


def test_mobilenet_has_28_prunable_weights_and_569_million_macs():
    table = layer_table(on_meta("mobilenet_v1", 1000), (3, 224, 224))
    assert len(table) == 28
    assert sum(shape[1] == 1 and len(shape) == 4 for shape, *_ in table.values()) == 13  # depthwise
    assert list(table)[:3] == ["model.0.0", "model.1.0", "model.1.3"]
    # 569 M multiply-adds in table 4 of the paper, rounded
    assert round(sum(row[3] for row in table.values()) / 1e6) == 569


def test_the_digits_network_is_wide_enough_to_prune_and_small_enough_to_train():
    table = layer_table(on_meta("resnet8_digits", 10, 1), (1, 8, 8))
    assert len(table) == 10
    assert sum(row[2] for row in table.values()) == 306_720
    assert sum(row[3] for row in table.values()) == 3_034_368


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("resnet18.cifar", (4, 4)),
        ("mobilenet_v1.cifar", (4, 4)),
        ("resnet18.imagenet", (1, 1)),
        ("mobilenet_v1.imagenet", (1, 1)),
    ],
)
def test_the_small_stem_leaves_more_resolution_for_a_32_pixel_image(name, image):
    model = on_meta(name, 10)
    seen = []
    last = model.layer4 if hasattr(model, "layer4") else model.model
    last.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[2:])))
    model.eval()(torch.empty(1, 3, 32, 32, device="meta"))
    assert seen == [image]


def test_the_toy_perceptron_is_64_512_512_10_with_batch_norm():
    model = create_model("mlp", 10, 1)
    shapes = [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(512, 64), (512, 512), (10, 512)]
    assert sum(isinstance(m, nn.BatchNorm1d) for m in model.modules()) == 2
    assert model(torch.randn(4, 1, 8, 8)).shape == (4, 10)


def test_the_plain_perceptron_has_no_batch_norm_and_any_widths():
    model = create_model("mlp.plain", 10, 1, image_size=(28, 28), hidden=[300, 100])
    assert sorted(model.state_dict()) == ["fc.bias", "fc.weight", "fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]
    assert model.fc1.weight.shape == (300, 784)


def test_the_padded_shortcut_drops_pixels_and_adds_zero_channels_on_both_sides():
    shortcut = create_model("resnet20", 10).layer2[0].downsample
    x = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 16, 4, 4) + 1
    out = shortcut(x)
    assert out.shape == (1, 32, 2, 2)
    assert torch.equal(out[0, 8], torch.tensor([[1.0, 3.0], [9.0, 11.0]]))
    assert out[:, :8].count_nonzero() == out[:, 24:].count_nonzero() == 0
    assert not list(shortcut.parameters())


def test_a_wide_resnet_drops_out_only_while_training():
    torch.manual_seed(0)
    block = create_model("wide_resnet28_10", 10).block1.layer[1]
    plain = create_model("wide_resnet28_10.plain", 10).block1.layer[1]
    assert block.dropout.p == 0.3
    assert plain.dropout.p == 0
    x = torch.randn(2, 160, 4, 4)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def test_convolutions_start_with_variance_two_over_fan_out():
    model = create_model("resnet18", 10)
    weight = model.layer4[0].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)


def test_a_seed_fixes_every_initial_weight():
    torch.manual_seed(3)
    first = create_model("resnet20.option_b", 10).state_dict()
    torch.manual_seed(3)
    second = create_model("resnet20.option_b", 10).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["mlp", "resnet20", "resnet20.option_b", "resnet8_digits", "mobilenet_v1.cifar"])
def test_every_parameter_gets_a_gradient(name):
    model = create_model(name, 5, 1)
    model(torch.randn(4, 1, 8, 8)).logsumexp(1).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
