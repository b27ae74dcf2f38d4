"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv:1605.07146)."""

from __future__ import annotations

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.models._initial import initialise_convolutions
from tamis.models._registry import register_model


class WideBlock(nn.Module):
    """Batch norm and ReLU before each 3x3 convolution, dropout between the two (figure 1 d of the paper)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        same = stride == 1 and in_channels == out_channels
        self.convShortcut = None if same else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        active = self.bn1(x).relu()
        # a changed shape takes the shortcut from the activated input, an unchanged one from the raw input
        identity = x if self.convShortcut is None else self.convShortcut(active)
        out = self.dropout(self.bn2(self.conv1(active)).relu())
        return self.conv2(out) + identity


class WideStage(nn.Module):
    """``blocks`` wide blocks, the first with the stage's stride; a module of its own so that keys read ``layer``."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, stride: int, dropout: float) -> None:
        super().__init__()
        first = WideBlock(in_channels, out_channels, stride, dropout)
        rest = (WideBlock(out_channels, out_channels, 1, dropout) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        return self.layer(x)


class WideResNet(nn.Module):
    """WRN-depth-width: 3x3 stem of 16 channels, three stages of 16, 32 and 64 times ``width`` channels, ``fc``.

    Names follow the common PyTorch port xternalz/WideResNet-pytorch (torchvision has no CIFAR form): ``conv1``,
    ``block1.layer.0.bn1``, ``block1.layer.0.conv1``, ``block1.layer.0.convShortcut``, ``bn1``, ``fc``.
    """

    def __init__(self, depth: int, width: int, num_classes: int, in_channels: int, dropout: float) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not 0 <= dropout < 1:
            raise UsageError(f"dropout={dropout!r}; expected a probability of at least 0 and below 1")
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.block1 = WideStage(16, 16 * width, blocks, 1, dropout)
        self.block2 = WideStage(16 * width, 32 * width, blocks, 2, dropout)
        self.block3 = WideStage(32 * width, 64 * width, blocks, 2, dropout)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, num_classes)
        initialise_convolutions(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) float32 -> logits (N, num_classes)."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(self.bn1(x).relu().mean((2, 3)))


@register_model("wide_resnet28_10", dropout30={"dropout": 0.3}, plain={"dropout": 0.0})
def wide_resnet28_10(num_classes: int, in_channels: int, dropout: float = 0.3) -> WideResNet:
    """WRN-28-10: 36,479,194 parameters with 10 classes (36.5 M in table 4 of the paper)."""
    return WideResNet(28, 10, num_classes, in_channels, dropout)
