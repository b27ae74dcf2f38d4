"""What surrounds the input of a convolution, read from the layer at every call as torch does.

Code may change ``padding``, ``dilation`` and ``stride`` of a layer that exists (DeepLab gives a trained ResNet other
dilations), so nothing is kept from the layer's beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from tamis.errors import UsageError


class PaddedConv(nn.Module):
    """Pads the input of a convolution where the kernels do not; not a layer by itself."""

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        if self.padding_mode == "zeros":
            return x, surroundings(self)
        return pad_input(self, x), (0,) * (2 * len(self.kernel_size))  # type: ignore[arg-type]


def pad_input(layer: Any, x: Tensor) -> Tensor:
    """``x`` ``(N, C, ...)`` with everything around it that the convolution ``layer`` reads."""
    return F.pad(x, surroundings(layer), mode="constant" if layer.padding_mode == "zeros" else layer.padding_mode)


def surroundings(layer: Any) -> tuple[int, ...]:
    """Positions that a convolution adds on each side: ``(left, right)`` or ``(left, right, top, bottom)``.

    As torch has it: zeros by ``layer.padding`` as it is now, all other modes by what it was when the layer was made.

    Raises:
        UsageError: ``layer.padding`` has another number of axes, or is ``"same"`` with a stride.
    """
    if layer.padding_mode != "zeros":
        return tuple(layer._reversed_padding_repeated_twice)
    padding, axes = layer.padding, len(layer.kernel_size)
    if padding == "valid":
        return (0,) * (2 * axes)
    if padding != "same":
        return tuple(side for one in reversed(per_axis(padding, axes)) for side in (one, one))
    if any(step != 1 for step in per_axis(layer.stride, axes)):
        raise UsageError(f"padding='same' with a stride of {layer.stride}; expected stride 1, or padding in numbers")
    widths = [d * (k - 1) for d, k in zip(per_axis(layer.dilation, axes), layer.kernel_size, strict=True)]
    return tuple(side for width in reversed(widths) for side in (width // 2, width - width // 2))


def per_axis(numbers: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """One int for each of ``axes`` axes; an int, or a sequence of one, holds for all of them.

    Raises:
        UsageError: there is another number of them.
    """
    if type(numbers) is tuple and len(numbers) == axes:
        return numbers
    found = (numbers,) if isinstance(numbers, int) else tuple(numbers)
    if len(found) not in (1, axes):
        raise UsageError(f"{numbers} for a convolution of {axes} axes; expected an int, or one int for each axis")
    return found if len(found) == axes else found * axes
