"""A convolution without gradients, prepared for inputs of one shape, so that inference decides nothing twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.kernels import _native, reference
from tamis.kernels._autocast import as_float32, under_autocast
from tamis.kernels._checks import check_geometry, check_operands
from tamis.kernels._format import in_format, nearest_format
from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._pattern import PackedPattern
from tamis.kernels.choose import Direction, choices


class PreparedConv2d:
    """``activation(sparse_conv2d(...) + residual)`` in one pass over memory, without gradients.

    What shapes, types and geometry decide is looked at once, here.  With one image a call takes as long as the Python
    around it, so calls look only at what may differ.

    Args:
        x: ``(N, C, H, W)`` in any strides; calls take inputs of its shape and type.
        values: live weights ``(nnz,)`` in the order of ``pattern``; held, not copied, and so are all others.
        bias: ``(O,)`` or None.
        pattern: support of the ``(O, C/groups, KH, KW)`` weight.
        geometry: kernel, stride, padding, dilation, groups and the input's size, which must equal ``(H, W)``.

    Raises:
        UsageError: shapes or types do not fit each other.
    """

    def __init__(
        self, x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern, geometry: ConvGeometry
    ) -> None:
        check_geometry(x, pattern, geometry)
        check_operands(x, values, bias, pattern)
        self.values, self.bias, self.pattern, self.geometry = values, bias, pattern, geometry
        self._arrays = pattern.row_ptr, pattern.indices, geometry.as_list()
        self._result = (x.shape[0], pattern.shape[0], *geometry.output_size)
        self._native = _native.serves(x, values)
        # What the choice was made in, and whether it is the sparse kernel: together, for threads that share this.
        self._chosen: tuple[tuple[Any, ...] | None, bool] = (None, False)

    def takes(self, residual: Tensor) -> bool:
        """Whether ``residual`` has the result's shape, or is repeated along dimensions until it has (broadcast)."""
        given, result = residual.shape, self._result
        if given == result:
            return True
        return len(given) <= 4 and all(n in (1, m) for n, m in zip(reversed(given), reversed(result), strict=False))

    def __call__(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        """The result ``(N, O, OH, OW)`` in the format of ``x``; it takes no part in autograd.

        Args:
            x: of the shape and type of the one that this was made for.
            residual: None, or a tensor that :meth:`takes` accepts, in any strides; copied where it has another format
                or shape than the result.
            relu: set negative results to zero.

        Returns:
            Under ``torch.autocast`` too the result is computed in float32.

        Raises:
            UsageError: the residual does not fit the result's shape.
        """
        native, wanted = self._native and x.is_cpu, nearest_format(x)
        if residual is not None:
            if not self.takes(residual):
                raise UsageError(
                    f"the residual has shape {tuple(residual.shape)}, the result {self._result}; expected the same "
                    "shape, or one that is broadcast to it"
                )
            native = native and residual.dtype is torch.float32 and residual.is_cpu
            if native:
                fits = residual if residual.shape == self._result else residual.expand(self._result)
                residual = in_format(fits, wanted)
        if not native:
            return self._dense(x, residual, relu)
        if torch.compiler.is_compiling():  # nothing is measured or remembered in a graph
            return self._dense(x, residual, relu) if choices.mode == "dense" else self._by_kernel(x, residual, relu)
        situation = (choices.mode, choices.changes, _native.isa(), torch.get_num_threads(), wanted)
        known, sparse = self._chosen
        if situation != known:
            key = choices.key(x, self.pattern, self.geometry, _native.isa())
            y = choices.run(
                key,
                Direction.FORWARD,
                lambda: self._by_kernel(x, residual, relu),
                lambda: self._dense(x, residual, relu),
            )
            self._chosen = (situation, choices.sparse(key, (Direction.FORWARD,)))
            return y
        return self._by_kernel(x, residual, relu) if sparse else self._dense(x, residual, relu)

    def _by_kernel(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        row_ptr, indices, geometry = self._arrays
        return torch.ops.tamis.conv_forward(
            x, self.values, self.bias, row_ptr, indices, geometry, _native._layout, residual, relu
        )

    def _dense(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        if under_autocast(x):
            with torch.autocast(x.device.type, enabled=False):
                return self._dense(x, residual, relu)
        y = reference.conv2d(x, self.values, self.bias, self.pattern, self.geometry)
        y = y if residual is None else y + residual
        return y.relu() if relu else y


def sparse_conv2d_inference(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: PackedPattern,
    geometry: ConvGeometry,
    *,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """``activation(sparse_conv2d(...) + residual)`` in one pass over memory, without gradients.

    Args:
        x: as in :func:`sparse_conv2d`, and so ``values``, ``bias``, ``pattern`` and ``geometry``.
        residual: ``(N, O, OH, OW)``, something that is broadcast to it, or None; in any strides, copied where it has
            another format or shape than the result.
        relu: set negative results to zero.

    Returns:
        ``(N, O, OH, OW)``; it takes no part in autograd.  Under ``torch.autocast`` the computation is done, and
        returned, in float32.

    Raises:
        UsageError: shapes do not fit each other.
    """
    if under_autocast(x):
        x, values, bias = as_float32(x, values, bias)
    with torch.no_grad():
        return PreparedConv2d(x, values, bias, pattern, geometry)(x, residual, relu)
