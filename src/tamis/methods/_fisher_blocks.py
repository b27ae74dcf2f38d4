"""Gradients of single samples or small batches, streamed into the Fisher blocks of a model's layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.methods._examples import Examples
from tamis.methods._random_states import unchanged_random_states

_FLOAT64_BYTES = 8
# A batched product of fewer gradients at a time is slower; of more, no faster.
_LEAST_GRADIENTS_AT_ONCE = 64


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a look at the model: no dropout, norm layers use and keep their running statistics.

    Afterwards every module has its training mode and every random generator its state again; batches that are shuffled
    by one of them therefore come in the same order at the next look.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with unchanged_random_states():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@dataclass(frozen=True)
class BlockLayout:
    """How layers are cut into blocks of consecutive weights (C order), the last block of a layer padded with zeros.

    A padded weight has no gradient, so it is independent of all others and changes nothing.

    Attributes:
        shapes: weight shape by layer name.
        block: block length B; None puts all weights of all layers into one block.
    """

    shapes: Mapping[str, tuple[int, ...]]
    block: int | None

    @property
    def length(self) -> int:
        """B."""
        return self.block if self.block is not None else max(1, sum(self._sizes().values()))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-sum(self._padded().values()) // self.length)

    def _sizes(self) -> dict[str, int]:
        return {name: torch.Size(shape).numel() for name, shape in self.shapes.items()}

    def _padded(self) -> dict[str, int]:
        if self.block is None:
            return self._sizes()
        return {name: -(-size // self.block) * self.block for name, size in self._sizes().items()}

    def _overlaps(self, first: int, last: int) -> Iterator[tuple[str, slice, slice]]:
        """Layer, its flat range, and the range of the blocks ``first .. last - 1`` that holds it."""
        start, stop, offset = first * self.length, last * self.length, 0
        sizes = self._sizes()
        for name, padded in self._padded().items():
            a, b = max(offset, start), min(offset + sizes[name], stop)
            if a < b:
                yield name, slice(a - offset, b - offset), slice(a - start, b - start)
            offset += padded

    def layers(self, first: int, last: int) -> list[str]:
        """Layers that own weights of the blocks ``first .. last - 1``."""
        return [name for name, _, _ in self._overlaps(first, last)]

    def gather(self, tensors: Mapping[str, Tensor], first: int, last: int, dtype: torch.dtype) -> Tensor:
        """The blocks ``first .. last - 1`` of tensors of the layers' shapes, (last - first, B), padded with zeros."""
        found = torch.zeros((last - first) * self.length, dtype=dtype)
        for name, source, target in self._overlaps(first, last):
            found[target] = tensors[name].detach().reshape(-1)[source].to(found)
        return found.reshape(last - first, self.length)

    def scatter(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """Tensors of the layers' shapes from all blocks in order, given in parts of shape (n, B)."""
        flat = torch.cat([part.reshape(-1) for part in parts])
        return {
            name: flat[target][: source.stop].reshape(self.shapes[name])
            for name, source, target in self._overlaps(0, self.blocks)
        }


@dataclass(frozen=True)
class GradientSource:
    """The gradients of a model's weights on the batches of its examples, one after the other.

    Attributes:
        model: the model; its governed layers are dense or masked, not packed.
        weights: the layers' weight parameters by name.
        masks: bool masks by name; gradients of pruned weights count as zero.  Empty: all live.
        examples: batches and loss.
        gradients: m, how many are wanted; a stream that ends earlier gives as many as it has.
        fisher_batch: samples that one gradient is the mean over.
        draw: 0 for the first estimate of a run, 1 for the next: each draw goes on in the examples where the last ended.
    """

    model: nn.Module
    weights: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    examples: Examples
    gradients: int
    fisher_batch: int
    draw: int = 0

    def stream(self, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Gradient by layer name of each batch; ``.grad``, modes, buffers and the generator stay as they were.

        Raises:
            UsageError: the examples are empty, or no layer takes part in the loss.
        """
        parameters = [self.weights[name] for name in names]
        frozen = [p for p in parameters if not p.requires_grad]
        with undisturbed(self.model):
            for parameter in frozen:
                parameter.requires_grad_(True)
            try:
                for inputs, targets in self._batches():
                    with torch.enable_grad():  # not around the yield: it would reach into the caller
                        loss = self.examples.loss(self.model(inputs), targets)
                        found = torch.autograd.grad(loss, parameters, allow_unused=True)
                    yield {n: self._masked(n, p, g) for n, p, g in zip(names, parameters, found, strict=True)}
            finally:
                for parameter in frozen:
                    parameter.requires_grad_(False)

    def _masked(self, name: str, parameter: Tensor, gradient: Tensor | None) -> Tensor:
        if gradient is None:  # a layer that this loss does not reach
            return torch.zeros_like(parameter)
        return gradient * self.masks[name] if name in self.masks else gradient

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of exactly ``fisher_batch`` samples; a rest that is shorter is used only if it is all there is."""
        held: list[tuple[Tensor, Tensor]] = []
        count = made = 0
        samples = self.gradients * self.fisher_batch
        for inputs, targets in self.examples.take(samples, skip=self.draw * samples):
            held.append((inputs, targets))
            count += len(inputs)
            if count < self.fisher_batch:
                continue
            joined = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*held, strict=True)]
            whole = count // self.fisher_batch * self.fisher_batch
            for i in range(0, whole, self.fisher_batch):
                yield joined[0][i : i + self.fisher_batch], joined[1][i : i + self.fisher_batch]
                made += 1
            held = [(joined[0][whole:], joined[1][whole:])] if whole < count else []
            count -= whole
        if made == 0:
            yield torch.cat([pair[0] for pair in held]), torch.cat([pair[1] for pair in held])


@dataclass(frozen=True)
class BlockSums:
    """What the gradients of one group of blocks are reduced to.

    Attributes:
        samples: m, the gradients that entered: all of them.
        products: (n, B, B) float64 sums of ``g g^T``, or None.
        gradients: (n, m, B) float64 gradients, or None; one of the two is there.
    """

    samples: int
    products: Tensor | None
    gradients: Tensor | None


def block_groups(layout: BlockLayout, gradients: int, explicit: bool, memory_mb: int) -> list[tuple[int, int]]:
    """Cut the blocks into groups that fit into ``memory_mb`` MiB; there is one pass over the data per group.

    A block takes ``8 * B * (2 * B + k)`` bytes with explicit matrices (the sums of products, a working copy, and ``k =
    min(m, max(B, 64))`` gradients), ``16 * B * m`` with the gradients themselves.

    Raises:
        UsageError: a single block needs more than ``memory_mb``.
    """
    length, buffered = layout.length, min(gradients, max(layout.length, _LEAST_GRADIENTS_AT_ONCE))
    numbers = length * (2 * length + buffered) if explicit else 2 * length * gradients
    fitting = memory_mb * 2**20 // (_FLOAT64_BYTES * numbers)
    if fitting < 1:
        needed = -(-_FLOAT64_BYTES * numbers // 2**20)
        raise UsageError(
            f"one block of {length} weights with {gradients} gradients needs {needed} MiB, more than "
            f"memory_mb={memory_mb}; raise memory_mb, or lower block or gradients"
        )
    return [(first, min(first + fitting, layout.blocks)) for first in range(0, layout.blocks, fitting)]


def measure_blocks(layout: BlockLayout, group: tuple[int, int], source: GradientSource, explicit: bool) -> BlockSums:
    """One pass over the data for one group of blocks; every gradient enters."""
    first, last = group
    n, length = last - first, layout.length
    names = layout.layers(first, last)
    room = source.gradients if not explicit else min(source.gradients, max(length, _LEAST_GRADIENTS_AT_ONCE))
    buffer = torch.empty(n, room, length, dtype=torch.float64)
    products = torch.zeros(n, length, length, dtype=torch.float64) if explicit else None
    samples = filled = 0

    def empty_buffer() -> None:
        if products is not None and filled:
            held = buffer[:, :filled]
            products.baddbmm_(held.transpose(1, 2), held)

    stream: Iterator[dict[str, Any]] = source.stream(names)
    for gradient in stream:
        if filled == room and explicit:
            empty_buffer()
            filled = 0
        buffer[:, filled] = layout.gather(gradient, first, last, torch.float64)
        filled += 1
        samples += 1
    empty_buffer()
    return BlockSums(samples, products, None if explicit else buffer[:, :samples])
