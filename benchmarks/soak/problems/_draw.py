"""What all problems share: random numbers from one seed, memory in every order, and the comparison."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
UNIT = 2.0**-24  # unit roundoff of float32


def rounding(terms: int) -> float:
    """How far, in parts of the sum of magnitudes, a float32 sum of ``terms`` products may lie from the exact one.

    Rounding errors that are independent of each other grow with the square root of their number (Higham and Mary, A New
    Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 2019); the constants leave them room.
    """
    return UNIT * (4 + 2 * max(terms, 1) ** 0.5)


def fresh(t: Tensor) -> Tensor:
    """A float64 copy in the ordinary order of memory.

    For the reference: in torch 2.13 the gradients of batch norm on the CPU are wrong for a single image whose unused
    first stride does not look like that of a contiguous or channels_last tensor.
    """
    return t.detach().double().clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class Answer:
    """One result of an operation.

    Attributes:
        exact: what it is, float64 (or integers).
        bound: how far a result may lie from it, one number for each value or one for all; 0 asks for equality.
        fixed: the bits do not depend on the number of threads.
        ordered: nor do they depend on the layout of panels.
    """

    exact: Tensor
    bound: Tensor | float = 0.0
    fixed: bool = True
    ordered: bool = True


@dataclass(frozen=True)
class Problem:
    """One call of an operation with its answers.

    Attributes:
        text: the problem in words, for the report of a mismatch.
        answers: name of each result -> what it must be.
        compute: calls the operation; returns the results by name.
    """

    text: str
    answers: dict[str, Answer]
    compute: Callable[[], dict[str, Tensor]]


class Draw:
    """Random numbers that depend on the seed alone."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.kind = self.pick(("normal", "normal", "integers", "wide", "mostly zero"))

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.random.randint(low, high)

    def chance(self, probability: float) -> bool:
        """True as often as that."""
        return self.random.random() < probability

    def pick(self, among: Sequence[T]) -> T:
        """One of them."""
        return self.random.choice(among)

    def size(self, most: int) -> int:
        """A size from 1: small, anything, or beside a multiple of a vector's length."""
        near = [n for n in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65) if n <= most]
        return self.pick(near) if self.chance(0.6) else self.whole(1, most)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal float32."""
        return torch.randn(shape, generator=self.generator)

    def values(self, *shape: int) -> Tensor:
        """Float32 numbers of the problem's kind."""
        t = self.normal(*shape)
        if self.kind == "integers":  # sums of their products are exact, so results must be equal to the bit
            return (t * 2).round().clamp(-3, 3)
        if self.kind == "wide":
            return t * torch.exp2(torch.randint(-20, 21, shape, generator=self.generator).float())
        if self.kind == "mostly zero":
            return t * (torch.rand(shape, generator=self.generator) < 0.2)
        return t

    def below(self, tolerance: float) -> float:
        """The tolerance, but none where arithmetic is exact."""
        return 0.0 if self.kind == "integers" else tolerance

    def mask(self, shape: tuple[int, ...]) -> Tensor:
        """A bool mask: nothing, few, most, everything, or rows of different fill."""
        how = self.pick(("even", "even", "even", "rows", "none", "all", "one"))
        chance = torch.rand(shape, generator=self.generator)
        if how == "none":
            return torch.zeros(shape, dtype=torch.bool)
        if how == "all":
            return torch.ones(shape, dtype=torch.bool)
        if how == "one":
            mask = torch.zeros(shape, dtype=torch.bool)
            mask.view(-1)[self.whole(0, mask.numel() - 1)] = True
            return mask
        if how == "rows":  # some empty, some full
            fill = torch.rand((shape[0], *(1,) * (len(shape) - 1)), generator=self.generator) * 1.6 - 0.3
            return chance < fill
        return chance < self.pick((0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9))

    def arranged(self, t: Tensor, expand: bool = False) -> Tensor:
        """``t`` ``(N, C, H, W)`` in some order of memory; floats that do not belong to it are NaN.

        With ``expand`` some dimensions may share memory, which changes the values.
        """
        n, c, h, w = t.shape
        how = self.pick(("NCHW", "NCHW", "channels_last", "batch-last", "gaps", "offset", "turned", "any"))
        if expand and self.chance(0.15) and t.numel():
            return self.pick((t[:1], t[:, :1], t[:, :, :1, :1], t[:1, :1, :1, :1])).expand(t.shape)
        if how == "channels_last":
            return t.contiguous(memory_format=torch.channels_last)
        if how == "batch-last":
            return t.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
        if how == "gaps":
            around = torch.full((n, c, 2 * h, 3 * w), float("nan"))
            around[:, :, ::2, ::3] = t
            return around[:, :, ::2, ::3]
        if how == "offset":
            around = torch.full((n + 1, c + 2, h + 1, w + 3), float("nan"))
            around[1:, 1:-1, :h, 2:-1] = t
            return around[1:, 1:-1, :h, 2:-1]
        if how == "turned":
            return t.transpose(2, 3).contiguous().transpose(2, 3)
        if how == "any":
            order = self.random.sample(range(4), 4)
            back = [order.index(d) for d in range(4)]
            return t.permute(order).contiguous().permute(back)
        return t.contiguous()


def mistakes(problem: Problem, results: dict[str, Tensor]) -> Iterable[tuple[str, float, str]]:
    """Compares; yields (name of a result, largest error in parts of its bound, what is wrong or "")."""
    if results.keys() != problem.answers.keys():
        yield "results", float("inf"), f"got {sorted(results)}, expected {sorted(problem.answers)}"
        return
    for name, answer in problem.answers.items():
        got = results[name].detach()
        if got.shape != answer.exact.shape:
            yield name, float("inf"), f"{name} has shape {tuple(got.shape)}, not {tuple(answer.exact.shape)}"
            continue
        if not got.numel():
            yield name, 0.0, ""
            continue
        exact, bound = answer.exact.double(), torch.as_tensor(answer.bound, dtype=torch.float64)
        off = (got.double() - exact).abs()
        off = torch.where(got.double() == exact, 0.0, off)  # equal infinities
        parts = torch.where(off == 0, 0.0, off / bound.expand(off.shape))
        worst = int(parts.nan_to_num(float("inf"), float("inf")).argmax())
        ratio = float(parts.reshape(-1)[worst])
        wrong = not ratio <= 1
        value, wanted = got.reshape(-1)[worst], exact.reshape(-1)[worst]
        yield name, ratio, f"{name}[{worst}] is {float(value):.9g}, not {float(wanted):.9g}" if wrong else ""
