"""ResNet-18, -34 and -50 with the layout, names and initial weights of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.models._initial import initialise_convolutions
from tamis.models._registry import register_model

Stem = Literal["imagenet", "cifar", "tensorflow"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5 left)."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, width, ceil(H / stride), ceil(W / stride))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(out)) + identity).relu()


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut (He et al. 2016, figure 5 right), with the stride on the 3x3: "v1.5"."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = _projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, 4 width, ceil(H / stride), ceil(W / stride))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn2(self.conv2(out)).relu()
        return (self.bn3(self.conv3(out)) + identity).relu()


class ResNet(nn.Module):
    """Stem, four stages, global average pool, ``fc`` (He et al. 2016, arXiv:1512.03385, table 1).

    ``stem="imagenet"``: 7x7 convolution of stride 2 and a max pool, for images of about 224 pixels.
    ``stem="cifar"``: 3x3 convolution of stride 1 and no pool, for images of about 32 pixels.
    ``stem="tensorflow"``: the ImageNet stem with TensorFlow's SAME padding of the pool, which is no padding and a last
    partial window; checkpoints that were converted from there compute other numbers with the pool of torchvision.
    State dicts of torchvision's networks of the same depth load unchanged with the ImageNet stem.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        blocks: Sequence[int],
        num_classes: int,
        in_channels: int,
        stem: Stem,
    ) -> None:
        super().__init__()
        if stem not in ("imagenet", "cifar", "tensorflow"):
            raise UsageError(
                f"stem={stem!r}; expected 'imagenet' (images of about 224 pixels), 'cifar' (about 32) or 'tensorflow' "
                "(converted checkpoints)"
            )
        if stem == "cifar":
            self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = _stem_pool(stem)
        self.layer1 = _stage(block, 64, 64, blocks[0], 1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, blocks[1], 2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, blocks[2], 2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, blocks[3], 2)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialise_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) float32 -> logits (N, num_classes)."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def _stem_pool(stem: Stem) -> nn.Module:
    if stem == "cifar":
        return nn.Identity()
    return nn.MaxPool2d(3, 2, padding=0, ceil_mode=True) if stem == "tensorflow" else nn.MaxPool2d(3, 2, padding=1)


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


def _stage(
    block: type[BasicBlock | Bottleneck], in_channels: int, width: int, blocks: int, stride: int
) -> nn.Sequential:
    first = block(in_channels, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(blocks - 1)))


@register_model("resnet18", imagenet={"stem": "imagenet"}, cifar={"stem": "cifar"})
def resnet18(num_classes: int, in_channels: int, stem: Stem = "imagenet") -> ResNet:
    """ResNet-18: 11,689,512 parameters with 1000 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, stem)


@register_model("resnet34", imagenet={"stem": "imagenet"}, cifar={"stem": "cifar"})
def resnet34(num_classes: int, in_channels: int, stem: Stem = "imagenet") -> ResNet:
    """ResNet-34: 21,797,672 parameters with 1000 classes."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels, stem)


@register_model("resnet50", imagenet={"stem": "imagenet"}, cifar={"stem": "cifar"})
def resnet50(num_classes: int, in_channels: int, stem: Stem = "imagenet") -> ResNet:
    """ResNet-50 v1.5: 25,557,032 parameters with 1000 classes, 25,502,912 of them prunable."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, stem)
