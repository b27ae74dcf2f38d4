"""Dense layers that compute with their live weights: a sparse forward pass and input gradient, a dense weight gradient.

For methods that train all weights of a layer through a mask which rests for some steps.  The parameter keeps its dense
shape, so optimizers, ``state_dict`` and everything else see a plain layer; copies and pickles are plain layers.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.kernels import PackedPattern, live_conv2d, live_linear
from tamis.nn._layers import by_parts, conv2d_geometry
from tamis.nn._padding import PaddedConv
from tamis.nn._prunable import can_pack


class _SparseForward(nn.Module):
    """What the layers share; ``pattern`` says which weights are computed with, the others must be zero."""

    pattern: PackedPattern
    weight: Tensor

    def __reduce_ex__(self, protocol: Any) -> Any:
        state = {key: value for key, value in self.__dict__.items() if key != "pattern"}
        return _empty, (_PLAIN[type(self)],), state


def _empty(plain: type[nn.Module]) -> nn.Module:
    """What a copy or a pickle is rebuilt from: a plain layer without content."""
    return plain.__new__(plain)


class SparseForwardLinear(_SparseForward, nn.Linear):
    """An ``nn.Linear`` under :func:`compute_sparsely`."""

    def forward(self, input: Tensor) -> Tensor:
        """``(..., in_features)`` to ``(..., out_features)``, nested tensors included."""
        if input.is_nested:
            return by_parts(self, input)
        return live_linear(input, self.weight, self.bias, self.pattern)


class SparseForwardConv2d(_SparseForward, PaddedConv, nn.Conv2d):
    """An ``nn.Conv2d`` under :func:`compute_sparsely`."""

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, O, OH, OW)`` or ``(O, OH, OW)``."""
        if input.dim() == 3:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        x, geometry = conv2d_geometry(self, input)
        return live_conv2d(x, self.weight, self.bias, self.pattern, geometry)


_SPARSE_FORWARD: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: SparseForwardLinear,
    nn.Conv2d: SparseForwardConv2d,
}
_PLAIN: dict[type[nn.Module], type[nn.Module]] = {sparse: plain for plain, sparse in _SPARSE_FORWARD.items()}


def can_compute_sparsely(module: nn.Module) -> bool:
    """Whether ``module`` is exactly a float32 CPU Linear or Conv2d."""
    return type(module) in _PLAIN or (type(module) in _SPARSE_FORWARD and can_pack(module))


def computes_sparsely(module: nn.Module) -> bool:
    """Whether ``module`` is under :func:`compute_sparsely`."""
    return type(module) in _PLAIN


def compute_sparsely(module: nn.Module, mask: Tensor) -> None:
    """Let a dense layer compute with the weights in ``mask`` alone, in place, until :func:`compute_densely`.

    The layer's weight keeps its shape and gets the gradient of a dense one.  Weights outside the mask must be zero and
    stay so; they are not looked at.

    Args:
        module: an ``nn.Linear`` or ``nn.Conv2d`` (not a subclass).
        mask: bool tensor of the weight's shape.

    Raises:
        UsageError: the module is another one, or the mask has another shape.
    """
    if not can_compute_sparsely(module):
        raise UsageError(f"{type(module).__name__} cannot compute sparsely: expected a float32 CPU Linear or Conv2d")
    layer: Any = module
    if tuple(mask.shape) != tuple(layer.weight.shape):
        raise UsageError(f"mask of shape {tuple(mask.shape)} for a weight of shape {tuple(layer.weight.shape)}")
    layer.pattern = PackedPattern.from_mask(mask)
    layer.pattern.flat_positions()  # now, so that torch.compile finds them and need not trace their making
    if not computes_sparsely(layer):
        layer.__class__ = _SPARSE_FORWARD[type(layer)]


def compute_densely(module: nn.Module) -> None:
    """Undo :func:`compute_sparsely`; nothing happens to other layers."""
    if computes_sparsely(module):
        module.__class__ = _PLAIN[type(module)]
        del module.pattern
