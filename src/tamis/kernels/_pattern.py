"""The place of every live weight of one layer: an immutable picture of a mask in compressed rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tamis.errors import FileError, UsageError


@dataclass(frozen=True, eq=False)
class PackedPattern:
    """The support of one weight in compressed rows; make one with :meth:`from_mask` or :meth:`from_arrays`.

    Attributes:
        shape: shape of the dense weight, ``(O, I)``, ``(O, I/groups, K)`` or ``(O, I/groups, KH, KW)``.
        row_ptr: int64 ``(O + 1,)``; row ``o`` owns the live weights ``row_ptr[o] .. row_ptr[o + 1]``.
        indices: int32 ``(nnz,)``; position inside the flattened row, strictly ascending inside each row.
    """

    shape: tuple[int, ...]
    row_ptr: Tensor
    indices: Tensor

    @classmethod
    def from_mask(cls, mask: Tensor) -> PackedPattern:
        """Pattern of a bool ``mask`` (True where a weight lives) of a weight's shape, two to four dimensions.

        Raises:
            UsageError: ``mask`` is not bool, has another number of dimensions, or rows too long for int32 indices.
        """
        if mask.dtype != torch.bool or not 2 <= mask.dim() <= 4:
            raise UsageError(
                f"a mask must be a bool tensor of 2, 3 or 4 dimensions, got {mask.dtype} of shape {tuple(mask.shape)}"
            )
        if mask.numel() >= 2**31 * max(mask.shape[0], 1):
            raise UsageError(
                f"a mask of shape {tuple(mask.shape)} has rows of 2**31 weights or more; indices are int32"
            )
        rows = mask.detach().cpu().reshape(mask.shape[0], mask.shape[1:].numel())
        row_ptr = torch.zeros(mask.shape[0] + 1, dtype=torch.int64)
        torch.cumsum(rows.sum(dim=1), 0, out=row_ptr[1:])
        return cls(tuple(mask.shape), row_ptr, rows.nonzero()[:, 1].to(torch.int32))

    @classmethod
    def from_arrays(cls, shape: tuple[int, ...], row_ptr: Tensor, indices: Tensor) -> PackedPattern:
        """Pattern from stored arrays, checked completely before use (they may come from a file).

        Raises:
            FileError: an array has the wrong type or length, or an index is out of range or out of order.
        """
        shape = tuple(int(n) for n in shape)
        _check_arrays(shape, row_ptr, indices)
        return cls(shape, row_ptr.to(torch.int64).clone(), indices.to(torch.int32).clone())

    @property
    def nnz(self) -> int:
        """Number of live weights."""
        return self.indices.numel()

    @property
    def total(self) -> int:
        """Number of weights of the dense layer."""
        return self.shape[0] * self.row_length

    @property
    def row_length(self) -> int:
        """Number of weights that one row (one output) has when it is dense."""
        length = 1
        for n in self.shape[1:]:
            length *= n
        return length

    @property
    def sparsity(self) -> float:
        """Fraction of zeros, in [0, 1]."""
        return 1.0 - self.nnz / self.total if self.total else 0.0

    def flat_positions(self) -> Tensor:
        """Position of every live weight in the flattened dense weight, int64 ``(nnz,)``, ascending; computed once."""
        return self.remember("flat", self._flat_positions)

    def pack(self, dense: Tensor) -> Tensor:
        """Live weights ``(nnz,)`` of a tensor of the dense weight's shape (differentiable copy).

        UsageError for a tensor of another shape.
        """
        if tuple(dense.shape) != self.shape:
            raise UsageError(f"cannot pack a tensor of shape {tuple(dense.shape)} with a pattern of shape {self.shape}")
        return dense.reshape(-1).index_select(0, self.flat_positions().to(dense.device))

    def unpack(self, values: Tensor) -> Tensor:
        """Dense tensor of the weight's shape: ``values`` ``(nnz,)`` in their places, exact zeros elsewhere.

        UsageError for values of another shape.
        """
        if tuple(values.shape) != (self.nnz,):
            raise UsageError(f"expected {self.nnz} packed values, got a tensor of shape {tuple(values.shape)}")
        flat = self.flat_positions().to(values.device)
        return values.new_zeros(self.total).index_copy(0, flat, values).reshape(self.shape)

    def mask(self) -> Tensor:
        """The bool mask of the dense weight's shape."""
        mask = torch.zeros(self.total, dtype=torch.bool)
        mask[self.flat_positions()] = True
        return mask.reshape(self.shape)

    def _flat_positions(self) -> Tensor:
        rows = torch.repeat_interleave(torch.arange(self.shape[0]), self.row_ptr.diff())
        return rows * self.row_length + self.indices

    def remember(self, key: Hashable, build: Callable[[], Any]) -> Any:
        """What ``build()`` returned for ``key`` when it was first asked for: arrays derived from this pattern."""
        # They live beside the dataclass fields and are left out of pickles.
        memory = self.__dict__.setdefault("_memory", {})
        if key not in memory:
            with torch.inference_mode(False):  # training, which refuses inference tensors, uses them too
                memory[key] = build()
        return memory[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedPattern:
        # Arrays of their own, although nothing changes them: safetensors refuses files in which two names share memory.
        return PackedPattern(self.shape, self.row_ptr.clone(), self.indices.clone())

    def __reduce__(self) -> tuple[Any, ...]:
        return (PackedPattern, (self.shape, self.row_ptr, self.indices))


def _check_arrays(shape: tuple[int, ...], row_ptr: Tensor, indices: Tensor) -> None:
    def fail(what: str) -> None:
        raise FileError(f"packed layer of shape {shape}: {what}; the file is damaged or from another model")

    if not isinstance(row_ptr, Tensor) or not isinstance(indices, Tensor):
        fail(f"row_ptr and indices must be tensors, got {type(row_ptr).__name__} and {type(indices).__name__}")
    if not 2 <= len(shape) <= 4 or min(shape) < 0:
        fail("the shape must have 2 to 4 non-negative dimensions")
    if row_ptr.dtype not in (torch.int32, torch.int64) or indices.dtype not in (torch.int32, torch.int64):
        fail(f"row_ptr and indices must be integers, got {row_ptr.dtype} and {indices.dtype}")
    if tuple(row_ptr.shape) != (shape[0] + 1,) or indices.dim() != 1:
        fail(f"row_ptr must have {shape[0] + 1} entries and indices one dimension, got {tuple(row_ptr.shape)} and "
             f"{tuple(indices.shape)}")  # fmt: skip
    if int(row_ptr[0]) != 0 or bool((row_ptr.diff() < 0).any()) or int(row_ptr[-1]) != indices.numel():
        fail(f"row_ptr must rise from 0 to the number of indices ({indices.numel()})")
    length = 1
    for n in shape[1:]:
        length *= n
    if length >= 2**31:
        fail("a row of 2**31 weights or more does not fit 32-bit indices")
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= length):
        fail(f"indices must lie in [0, {length})")
    ascending = indices.diff() > 0
    starts = row_ptr[1:-1]
    starts = starts[(starts > 0) & (starts < indices.numel())]
    ascending[starts - 1] = True
    if not bool(ascending.all()):
        fail("indices must ascend strictly inside each row")
