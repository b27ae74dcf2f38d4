"""Residual networks for small images: the CIFAR form of He et al. 2016, and a short wide one for 8x8 digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.models._initial import initialise_convolutions
from tamis.models._registry import register_model

Shortcut = Literal["padding", "projection"]


class PaddedShortcut(nn.Module):
    """Option A of He et al. 2016 (section 3.3): every ``stride``-th pixel, extra channels zero; no parameters.

    The new channels are shared equally before and after the old ones, as in the widely used port
    akamaster/pytorch_resnet_cifar10 whose checkpoints this must reproduce.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        extra = out_channels - in_channels
        self.stride, self.before, self.after = stride, extra // 2, extra - extra // 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class CifarBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the shortcut (He et al. 2016, figure 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            if shortcut == "padding":
                self.downsample = PaddedShortcut(in_channels, out_channels, stride)
            else:
                self.downsample = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
                )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(out)) + identity).relu()


class CifarResNet(nn.Module):
    """3x3 stem, three stages at full, half and quarter resolution, global average pool, ``fc``.

    He et al. 2016 (arXiv:1512.03385), section 4.2: 6n + 2 layers for n blocks a stage.  Names are torchvision's:
    ``conv1``, ``bn1``, ``layer1.0.conv1``, ``layer2.0.downsample.0`` (projection form only), ``fc``.
    """

    def __init__(
        self, blocks: int, widths: Sequence[int], num_classes: int, in_channels: int, shortcut: Shortcut
    ) -> None:
        super().__init__()
        if shortcut not in ("padding", "projection"):
            raise UsageError(
                f"shortcut={shortcut!r}; expected 'padding' (option A, no weights) or 'projection' (option B)"
            )
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _stage(widths[0], widths[0], blocks, 1, shortcut)
        self.layer2 = _stage(widths[0], widths[1], blocks, 2, shortcut)
        self.layer3 = _stage(widths[1], widths[2], blocks, 2, shortcut)
        self.fc = nn.Linear(widths[2], num_classes)
        initialise_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) float32 -> logits (N, num_classes)."""
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))

    @staticmethod
    def checkpoint_filter(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Translate the keys of akamaster/pytorch_resnet_cifar10 (``linear.*``, ``*.shortcut.*``) to ours."""
        renamed = {}
        for key, tensor in state.items():
            head, dot, rest = key.partition(".")
            key = f"fc{dot}{rest}" if head == "linear" else key
            renamed[key.replace(".shortcut.", ".downsample.")] = tensor
        return renamed


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int, shortcut: Shortcut) -> nn.Sequential:
    first = CifarBlock(in_channels, out_channels, stride, shortcut)
    return nn.Sequential(first, *(CifarBlock(out_channels, out_channels, 1, shortcut) for _ in range(blocks - 1)))


@register_model("resnet20", option_a={"shortcut": "padding"}, option_b={"shortcut": "projection"})
def resnet20(num_classes: int, in_channels: int, shortcut: Shortcut = "padding") -> CifarResNet:
    """ResNet-20 for CIFAR: 269,722 parameters with 10 classes and option A."""
    return CifarResNet(3, (16, 32, 64), num_classes, in_channels, shortcut)


@register_model("resnet56", option_a={"shortcut": "padding"}, option_b={"shortcut": "projection"})
def resnet56(num_classes: int, in_channels: int, shortcut: Shortcut = "padding") -> CifarResNet:
    """ResNet-56 for CIFAR: 853,018 parameters with 10 classes and option A."""
    return CifarResNet(9, (16, 32, 64), num_classes, in_channels, shortcut)


@register_model("resnet8_digits", option_b={"shortcut": "projection"}, option_a={"shortcut": "padding"})
def resnet8_digits(
    num_classes: int, in_channels: int, shortcut: Shortcut = "projection", widths: Sequence[int] = (32, 64, 128)
) -> CifarResNet:
    """One block a stage, wide enough that 90 % sparsity leaves something to learn with: for 8x8 digits.

    308,074 parameters and 3.03 M multiply-adds an image with 1 channel and 10 classes.  ``widths`` are the channels of
    the three stages, none smaller than the one before.

    Raises:
        UsageError: ``widths`` are not three such numbers.
    """
    if len(widths) != 3 or not all(isinstance(width, int) and width >= 1 for width in widths):
        raise UsageError(f"widths={widths!r}; expected three whole numbers of at least 1, one for each stage")
    if list(widths) != sorted(widths):
        raise UsageError(f"widths={widths!r}; a stage cannot have fewer channels than the one before")
    return CifarResNet(1, widths, num_classes, in_channels, shortcut)
