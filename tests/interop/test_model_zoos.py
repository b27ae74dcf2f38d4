"""Networks of torchvision and timm: what packing and fusing computes is what the dense network computes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import tamis
from tamis.kernels import choices
from tamis.nn import is_packed, prunable_modules

from .optional_packages import needs

pytestmark = pytest.mark.filterwarnings("ignore")  # the packages' own deprecations

TORCHVISION = ["mobilenet_v2", "densenet121", "efficientnet_b0", "swin_t"]
TIMM = ["convnextv2_atto", "efficientnet_lite0", "mixer_s32_224"]
# These hand the weights of their attention's layers to a function instead of calling the layers.
CANNOT_BE_PACKED = {"swin_t": "*.attn.*"}


@pytest.fixture(autouse=True)
def _sparse_kernels():
    before, choices.mode = choices.mode, "sparse"
    yield
    choices.mode = before


def pruned(model: nn.Module) -> nn.Module:
    """The model with nine tenths of every layer but the depthwise ones zero; norms with uneven statistics."""
    with torch.no_grad():
        for layer in prunable_modules(model).values():
            if getattr(layer, "groups", 1) == 1:
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.1)
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
    return model


def compare(model: nn.Module, pixels: int, exclude: str | tuple[str, ...] = ()) -> None:
    packed = tamis.sparsify(copy.deepcopy(model), exclude=exclude)
    assert any(is_packed(layer) for layer in prunable_modules(packed).values())
    exact = copy.deepcopy(model).double()
    images = torch.randn(4, 3, pixels, pixels)
    for mode in (False, True):
        answers = []
        for network, inputs in ((exact, images.double()), (packed, images)):
            torch.manual_seed(1)  # dropout and stochastic depth
            answers.append(network.train(mode)(inputs).detach())
        expected, answer = answers
        assert (answer - expected).abs().max() <= 1e-4 * expected.abs().max(), f"in training: {mode}"
    tamis.densify(packed)
    assert packed.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_torchvision_network_computes_the_same_packed(name):
    needs("torchvision")
    models = needs("torchvision.models")
    compare(pruned(models.get_model(name, num_classes=7)), 64, CANNOT_BE_PACKED.get(name, ()))


@pytest.mark.parametrize("name", TIMM)
def test_a_timm_network_computes_the_same_packed(name):
    needs("torchvision")
    timm = needs("timm")
    size = {"img_size": 64} if name.startswith(("vit", "mixer")) else {}
    compare(pruned(timm.create_model(name, num_classes=7, **size)), 64)


@pytest.mark.parametrize("script", ["torchvision_model", "timm_model"])
def test_the_example_prunes_and_packs(script, example, capsys):
    needs("torchvision")
    needs(script.partition("_")[0])
    example(script)
    assert "largest difference" in capsys.readouterr().out


class Stage(nn.Module):
    """Names and shape of a torchvision residual block, for machines without torchvision."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x
        return self.relu(out)


def test_a_stand_in_of_such_a_network_computes_the_same_packed():
    compare(pruned(nn.Sequential(nn.Conv2d(3, 16, 3), Stage(16), nn.AdaptiveAvgPool2d(1), nn.Flatten())), 16)
