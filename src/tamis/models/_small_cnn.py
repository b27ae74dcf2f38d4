"""A small convolutional network for pictures of a few hundred pixels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.models._initial import initialise_convolutions
from tamis.models._registry import register_model


class SmallCNN(nn.Module):
    """For each width a 3x3 convolution, batch norm, ReLU and 2x2 max pooling; global average pool, then ``fc``.

    Modules are called ``conv1``, ``bn1``, ``conv2``, ... and the last layer ``fc``.
    """

    def __init__(self, widths: Sequence[int], num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.depth = len(widths)
        channels = in_channels
        for number, width in enumerate(widths, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(channels, width, 3, padding=1, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(width))
            channels = width
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(channels, num_classes)
        initialise_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) float32, H and W at least 2 to the number of widths -> logits (N, num_classes)."""
        for number in range(1, self.depth + 1):
            x = self.pool(self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(x)).relu())
        return self.fc(x.mean((2, 3)))


@register_model("small_cnn", w32={"widths": (32, 64, 128)})
def small_cnn(num_classes: int, in_channels: int, widths: Sequence[int] = (32, 64, 128)) -> SmallCNN:
    """``small_cnn.w32`` with 3 channels and 10 outputs has 94,304 weights, biases and norms not counted.

    Raises ``UsageError`` unless ``widths`` holds at least one positive whole number.
    """
    if not widths or not all(isinstance(width, int) and width >= 1 for width in widths):
        raise UsageError(f"widths={widths!r}; expected the channels of the convolutions, each at least 1")
    return SmallCNN(widths, num_classes, in_channels)
