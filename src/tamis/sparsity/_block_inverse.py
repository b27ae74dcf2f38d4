"""The inverse empirical Fisher matrix of many diagonal blocks at once, in one of two forms.

``F = damping * I + (1/m) * sum(g g^T)`` of a block of B weights.  With ``m >= B`` gradients its inverse is stored (B
numbers per weight, one Cholesky decomposition per block); with fewer, ``m`` numbers per weight suffice (Woodbury), so
that a block may hold a whole layer or a whole network.  Both equal the ``m`` rank-one updates of
:func:`~tamis.sparsity.fisher_inverse` but for rounding, and are batched matrix products.

Everything is float64: with a damping of 1e-8 the condition number of ``F`` exceeds what float32 resolves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError

# Blocks that are decomposed in one call: enough to hide the call, few enough that temporaries stay small (64 MiB).
_CHUNK_ELEMENTS = 1 << 23


class BlockInverse(ABC):
    """Inverse Fisher matrices ``H`` of n blocks of B weights (abstract)."""

    @abstractmethod
    def diagonal(self) -> Tensor:
        """``H_qq`` of every weight, (n, B)."""

    @abstractmethod
    def product(self, vectors: Tensor) -> Tensor:
        """``H x`` in every block; ``vectors`` and result (n, B)."""

    @abstractmethod
    def squares(self, size: int) -> Tensor:
        """The diagonal squares of ``size`` weights, (n, B / size, size, size); ``size`` must divide B."""


@dataclass(frozen=True, eq=False)
class ExplicitInverse(BlockInverse):
    """Stored inverses.

    Attributes:
        inverse: (n, B, B), symmetric.
    """

    inverse: Tensor

    def diagonal(self) -> Tensor:
        """``H_qq``, (n, B)."""
        return self.inverse.diagonal(dim1=1, dim2=2)

    def product(self, vectors: Tensor) -> Tensor:
        """``H x``, (n, B)."""
        return torch.bmm(self.inverse, vectors.unsqueeze(2)).squeeze(2)

    def squares(self, size: int) -> Tensor:
        """The diagonal squares, (n, B / size, size, size)."""
        n, block, _ = self.inverse.shape
        cut = self.inverse.reshape(n, block // size, size, block // size, size)
        return cut.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class FactoredInverse(BlockInverse):
    """``H = (I - V^T V) / damping``, never formed.

    Attributes:
        factor: V, (n, m, B).
        damping: lambda > 0.
    """

    factor: Tensor
    damping: float

    def diagonal(self) -> Tensor:
        """``H_qq``, (n, B)."""
        return (1.0 - self.factor.square().sum(dim=1)) / self.damping

    def product(self, vectors: Tensor) -> Tensor:
        """``H x``, (n, B)."""
        inner = torch.bmm(self.factor, vectors.unsqueeze(2))
        return (vectors - torch.bmm(self.factor.transpose(1, 2), inner).squeeze(2)) / self.damping

    def squares(self, size: int) -> Tensor:
        """The diagonal squares, (n, B / size, size, size)."""
        n, m, block = self.factor.shape
        parts = self.factor.reshape(n, m, block // size, size).permute(0, 2, 3, 1)
        identity = torch.eye(size, dtype=parts.dtype, device=parts.device)
        return (identity - parts @ parts.transpose(2, 3)) / self.damping


def block_fisher(products: Tensor, samples: int, damping: float) -> Tensor:
    """``damping * I + products / samples``, in place.

    Args:
        products: (n, B, B) float64 sums of ``g g^T`` over the gradients of each block; overwritten by the result.
        samples: ``m``, how many gradients the sums hold, at least 1.
        damping: lambda > 0.

    Raises:
        UsageError: there is no gradient, or the damping is not positive.
    """
    _check(samples, damping)
    products.div_(samples).diagonal(dim1=1, dim2=2).add_(damping)
    return products


def explicit_inverse(fisher: Tensor) -> ExplicitInverse:
    """Invert (n, B, B) positive definite matrices by Cholesky decomposition, in place.

    Raises:
        UsageError: a matrix is not positive definite (gradients are not finite, or the damping is too small for them).
    """
    chunk = max(1, _CHUNK_ELEMENTS // fisher[:1].numel()) if fisher.numel() else 1
    for part in fisher.split(chunk):
        part.copy_(torch.cholesky_inverse(_cholesky(part)))
    return ExplicitInverse(fisher)


def factored_inverse(gradients: Tensor, damping: float) -> FactoredInverse:
    """The inverse from ``m`` gradients by an m x m Cholesky decomposition per block, in O(m^2 B) operations.

    With ``L L^T = m * damping * I + G G^T`` the factor is ``V = L^-1 G``.  Row i of ``V / sqrt(damping)`` is the vector
    ``F_{i-1}^-1 g_i / sqrt(m + g_i^T F_{i-1}^-1 g_i)`` of the recursion of Frantar et al., "M-FAC: Efficient
    Matrix-Free Approximations of Second-Order Information" (NeurIPS 2021), all m of them.

    Args:
        gradients: (n, m, B) float64.
        damping: lambda > 0.

    Raises:
        UsageError: there is no gradient, the damping is not positive, or a gradient is not finite.
    """
    samples = gradients.shape[1]
    _check(samples, damping)
    inner = torch.bmm(gradients, gradients.transpose(1, 2))
    inner.diagonal(dim1=1, dim2=2).add_(samples * damping)
    return FactoredInverse(torch.linalg.solve_triangular(_cholesky(inner), gradients, upper=False), damping)


def _check(samples: int, damping: float) -> None:
    if samples < 1 or damping <= 0.0:
        raise UsageError(f"expected at least one gradient and damping > 0; got {samples} and {damping!r}")


def _cholesky(matrices: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrices)
    if bool(failed.any()) or not bool(torch.isfinite(factor.diagonal(dim1=1, dim2=2)).all()):
        raise UsageError(
            f"{int(failed.count_nonzero())} of {len(matrices)} Fisher blocks are not positive definite: the gradients "
            "are not finite, or so large that the damping drowns in rounding; lower the learning rate or raise damping"
        )
    return factor
