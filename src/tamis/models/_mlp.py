"""Multilayer perceptrons, with and without batch norm."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.models._registry import register_model


class MLP(nn.Module):
    """Flatten, then Linear (- BatchNorm) - ReLU for each hidden width, then Linear to the logits.

    Modules are called ``fc1``, ``bn1``, ``fc2``, ``bn2``, ... and the last layer ``fc``.  Weights start as torch's
    default for Linear: uniform in +-1/sqrt(fan_in).
    """

    def __init__(self, in_features: int, hidden: Sequence[int], num_classes: int, batch_norm: bool) -> None:
        super().__init__()
        self.depth = len(hidden)
        width = in_features
        for number, units in enumerate(hidden, start=1):
            self.add_module(f"fc{number}", nn.Linear(width, units))
            # Identity keeps the forward pass one line; it has no parameters and no keys in a state_dict
            self.add_module(f"bn{number}", nn.BatchNorm1d(units) if batch_norm else nn.Identity())
            width = units
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (N, F) float32 -> logits (N, num_classes)."""
        x = x.flatten(1)
        for number in range(1, self.depth + 1):
            x = self.get_submodule(f"bn{number}")(self.get_submodule(f"fc{number}")(x)).relu()
        return self.fc(x)


@register_model("mlp", bn={"batch_norm": True}, plain={"batch_norm": False})
def mlp(
    num_classes: int,
    in_channels: int,
    image_size: Sequence[int] = (8, 8),
    hidden: Sequence[int] = (512, 512),
    batch_norm: bool = True,
) -> MLP:
    """``in_channels * H * W`` inputs, the ``hidden`` widths, ``num_classes`` logits.

    ``mlp.bn`` with one channel, 8x8 images and 10 classes is 64-512-512-10, the toy on which the layer collapse of
    global magnitude pruning was measured (tests/golden/pruning.json, ``measured_layer_collapse``).

    Raises ``UsageError`` unless ``image_size`` is two positive numbers and ``hidden`` holds positive numbers.
    """
    if len(image_size) != 2 or not all(_is_count(side) for side in image_size):
        raise UsageError(f"image_size={image_size!r}; expected (height, width) in pixels, each at least 1")
    if not all(_is_count(units) for units in hidden):
        raise UsageError(f"hidden={hidden!r}; expected the widths of the hidden layers, each at least 1")
    return MLP(in_channels * image_size[0] * image_size[1], hidden, num_classes, batch_norm)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
