"""Layers that store only their live weights.

Each is a subclass of its dense torch class, so ``isinstance(layer, nn.Conv2d)`` still holds.  The parameter keeps its
name ``weight`` but is one-dimensional: the live weights in the order of ``layer.pattern``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.kernels import (
    ConvGeometry,
    InnerPattern,
    PackedPattern,
    geometry_of,
    sparse_conv1d,
    sparse_conv2d,
    sparse_linear,
)
from tamis.nn._padding import PaddedConv, per_axis
from tamis.nn._state import load_packed, save_packed


class PackedWeight(nn.Module):
    """What all packed layers share; not a layer by itself.

    Attributes:
        weight: Parameter ``(nnz,)``, the weights that are stored and get a gradient.
        pattern: :class:`~tamis.kernels.PackedPattern` of the dense weight.
        inner: the part of the stored weights that the forward pass and the gradient of the input use, the others being
            zero there (Top-KAST's forward mask inside its gradient mask); None, as a rule, means all of them.
    """

    pattern: PackedPattern
    inner: InnerPattern | None = None
    weight: Tensor

    @property
    def values(self) -> Tensor:
        """The stored weights ``(nnz,)``; the same parameter as ``weight``."""
        return self.weight

    @property
    def forward_pattern(self) -> PackedPattern:
        """The support of the forward pass."""
        return self.pattern if self.inner is None else self.inner.pattern

    def forward_values(self) -> Tensor:
        """The weights of the forward pass, in the order of ``forward_pattern`` (differentiable)."""
        return self.weight if self.inner is None else self.inner.take(self.weight)

    def dense_weight(self) -> Tensor:
        """The weight of the forward pass in its dense shape, zeros included (differentiable)."""
        return self.forward_pattern.unpack(self.forward_values())

    def reset_parameters(self) -> None:
        """Refused: the initial scale of a sparse layer is a choice of the caller.

        Raises:
            UsageError: always, once the layer is packed.
        """
        if "pattern" not in self.__dict__:  # called by the dense constructor, before packing
            super().reset_parameters()  # type: ignore[misc]
            return
        raise UsageError("a packed layer cannot be re-initialised; densify it, initialise, and sparsify again")

    def extra_repr(self) -> str:
        """The dense layer's description with the share of zeros."""
        pattern = self.forward_pattern
        return f"{super().extra_repr()}, live={pattern.nnz}/{pattern.total}, sparsity={pattern.sparsity:.4f}"

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        save_packed(self, destination, prefix)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        with load_packed(self, state_dict, prefix):
            super()._load_from_state_dict(state_dict, prefix, *args)


class SparseLinear(PackedWeight, nn.Linear):
    """``y = x W^T + b`` that stores and touches only the live weights of ``W``.

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        mask: bool ``(out_features, in_features)``, True where a weight lives.
        bias: whether to learn an additive bias ``(out_features,)``.

    Example:
        >>> import torch
        >>> layer = SparseLinear(4, 2, torch.eye(2, 4) > 0)
        >>> layer(torch.ones(3, 4)).shape
        torch.Size([3, 2])
        >>> layer.values.shape
        torch.Size([2])
    """

    def __init__(self, in_features: int, out_features: int, mask: Tensor, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        _pack_new(self, mask)

    def forward(self, input: Tensor) -> Tensor:
        """``(..., in_features)`` to ``(..., out_features)``, nested tensors included."""
        if input.is_nested:
            return by_parts(self, input)
        return sparse_linear(input, self.weight, self.bias, self.pattern, self.inner)


def conv2d_geometry(layer: Any, input: Tensor) -> tuple[Tensor, ConvGeometry]:
    """``input`` ``(N, C, H, W)``, padded unless the kernels do it, and the geometry of its convolution by ``layer``."""
    _check_input(layer, input, 4)
    x, (left, right, top, bottom) = layer._padded(input)
    size, padding = (x.shape[2], x.shape[3]), (top, bottom, left, right)
    stride, dilation = per_axis(layer.stride, 2), per_axis(layer.dilation, 2)
    return x, geometry_of(size, layer.kernel_size, stride, padding, dilation, layer.groups)


def by_parts(layer: nn.Module, nested: Tensor) -> Tensor:
    """A linear ``layer`` of a nested tensor, all parts in one call; the result is nested in the same layout.

    ``nn.TransformerEncoder`` makes one from a padded batch in inference.
    """
    parts = nested.unbind()
    rows = layer(torch.cat([part.flatten(0, -2) for part in parts]))
    pieces = rows.split([part[..., 0].numel() for part in parts])
    results = [rows.unflatten(0, part.shape[:-1]) for rows, part in zip(pieces, parts, strict=True)]
    return torch.nested.as_nested_tensor(results, layout=nested.layout)


class _PackedConv(PackedWeight, PaddedConv):
    """What packed convolutions share."""


class SparseConv1d(_PackedConv, nn.Conv1d):
    """``nn.Conv1d`` that stores and touches only its live weights; same arguments, and ``mask`` of the weight's shape.

    Example:
        >>> import torch
        >>> layer = SparseConv1d(2, 3, 3, mask=torch.ones(3, 2, 3) > 0, padding="same")
        >>> layer(torch.ones(5, 2, 7)).shape
        torch.Size([5, 3, 7])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, *, mask: Tensor, **options: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        _pack_new(self, mask)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, L)`` or ``(C, L)`` to ``(N, O, OL)`` or ``(O, OL)``."""
        if input.dim() == 2:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        _check_input(self, input, 3)
        x, (left, right) = self._padded(input)
        geometry = ConvGeometry(
            size=(1, x.shape[2]),
            kernel=(1, self.kernel_size[0]),
            stride=(1, per_axis(self.stride, 1)[0]),
            padding=(0, 0, left, right),
            dilation=(1, per_axis(self.dilation, 1)[0]),
            groups=self.groups,
        )
        return sparse_conv1d(x, self.weight, self.bias, self.pattern, geometry, self.inner)


class SparseConv2d(_PackedConv, nn.Conv2d):
    """``nn.Conv2d`` that stores and touches only its live weights; same arguments, and ``mask`` of the weight's shape.

    Example:
        >>> import torch
        >>> layer = SparseConv2d(2, 3, 3, mask=torch.ones(3, 2, 3, 3) > 0, padding=1, stride=2)
        >>> layer(torch.ones(5, 2, 8, 8)).shape
        torch.Size([5, 3, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, *, mask: Tensor, **options: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        _pack_new(self, mask)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, O, OH, OW)`` or ``(O, OH, OW)``."""
        if input.dim() == 3:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        x, geometry = self.padded_with_geometry(input)
        return sparse_conv2d(x, self.weight, self.bias, self.pattern, geometry, self.inner)

    def padded_with_geometry(self, input: Tensor) -> tuple[Tensor, ConvGeometry]:
        """``input`` ``(N, C, H, W)``, padded unless the kernels do it, and the geometry of its convolution."""
        return conv2d_geometry(self, input)


def _check_input(layer: Any, x: Tensor, dimensions: int) -> None:
    if x.dim() != dimensions or x.shape[1] != layer.in_channels:
        axes = "L" if dimensions == 3 else "H, W"
        raise UsageError(
            f"{type(layer).__name__}: expected (N, {layer.in_channels}, {axes}), got shape {tuple(x.shape)}"
        )


def _pack_new(layer: Any, mask: Tensor) -> None:
    pattern = PackedPattern.from_mask(mask)
    values = pattern.pack(layer.weight.detach())
    layer.pattern = pattern
    layer.weight = nn.Parameter(values)
    keep_from_fused_callers(layer)


def _forward_is_called(module: nn.Module, args: Any) -> None:
    pass


def keep_from_fused_callers(layer: nn.Module) -> None:
    """Make sure that ``layer.forward`` is called, not its weight taken.

    In inference ``nn.TransformerEncoderLayer`` hands the raw weights of its Linear layers to one fused operation,
    unless a submodule has forward hooks; a packed Linear therefore carries one that does nothing.
    """
    if isinstance(layer, nn.Linear):
        layer.register_forward_pre_hook(_forward_is_called)


def release_to_fused_callers(layer: nn.Module) -> None:
    """Undo :func:`keep_from_fused_callers`."""
    for key, hook in list(layer._forward_pre_hooks.items()):
        if hook is _forward_is_called:
            del layer._forward_pre_hooks[key]


DENSE_OF: dict[type[nn.Module], type[nn.Module]] = {
    SparseLinear: nn.Linear,
    SparseConv1d: nn.Conv1d,
    SparseConv2d: nn.Conv2d,
}
SPARSE_OF: dict[type[nn.Module], type[nn.Module]] = {dense: sparse for sparse, dense in DENSE_OF.items()}
