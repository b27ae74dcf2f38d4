"""MobileNet, first version (Howard et al. 2017, arXiv:1704.04861)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.models._initial import initialise_convolutions
from tamis.models._registry import register_model

# (output channels, stride) of the 13 depthwise-separable blocks: table 1 of the paper
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))


class MobileNetV1(nn.Module):
    """3x3 stem, 13 blocks of a depthwise 3x3 and a pointwise 1x1 convolution, global average pool, ``fc``.

    Names follow the PyTorch port that the pruning papers use (marvis/pytorch-mobilenet): ``model.0.0`` is the stem's
    convolution and ``model.0.1`` its batch norm; in block b = 1..13 ``model.b.0`` is the depthwise convolution,
    ``model.b.1`` its batch norm, ``model.b.3`` the pointwise convolution, ``model.b.4`` its batch norm; ``fc`` is
    Linear.  That makes 1 + 13 * 2 + 1 = 28 prunable weights.

    ``stem="imagenet"`` halves the resolution five times (224 -> 7 pixels); ``stem="cifar"`` leaves out the first
    two halvings (32 -> 4 pixels), names and parameters unchanged.
    """

    def __init__(self, num_classes: int, in_channels: int, stem: Literal["imagenet", "cifar"]) -> None:
        super().__init__()
        if stem not in ("imagenet", "cifar"):
            raise UsageError(f"stem={stem!r}; expected 'imagenet' (images of about 224 pixels) or 'cifar' (about 32)")
        small = stem == "cifar"
        layers = [_stem(in_channels, 32, 1 if small else 2)]
        width = 32
        for channels, stride in _BLOCKS:
            # the first halving inside the blocks is the step to 128 channels
            layers.append(_separable(width, channels, 1 if small and channels == 128 else stride))
            width = channels
        self.model = nn.Sequential(*layers)
        self.fc = nn.Linear(width, num_classes)
        initialise_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) float32 -> logits (N, num_classes)."""
        return self.fc(self.model(x).mean((2, 3)))


def _stem(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


def _separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


@register_model("mobilenet_v1", imagenet={"stem": "imagenet"}, cifar={"stem": "cifar"})
def mobilenet_v1(num_classes: int, in_channels: int, stem: Literal["imagenet", "cifar"] = "imagenet") -> MobileNetV1:
    """MobileNetV1 of width 1: 4,231,976 parameters with 1000 classes."""
    return MobileNetV1(num_classes, in_channels, stem)
