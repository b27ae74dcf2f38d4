"""ERK: layer densities in proportion to (sum of dimensions) / (product of dimensions)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import ROUNDING_GUARD, check_sparsity, keep_count
from tamis.sparsity._distributions import Distribution, named_dense
from tamis.sparsity._names import layer_names


@dataclass(frozen=True)
class ErkSolution:
    """The solved equation of ERK.

    Attributes:
        epsilon: the common factor (NaN when every layer is dense).
        live_fractions: layer name -> fraction of live weights, in (0, 1].
        saturated: layers that the equation made dense, in registration order.
        rounds: how often the equation was solved; all but the last time, layers were made dense.
    """

    epsilon: float
    live_fractions: dict[str, float]
    saturated: tuple[str, ...]
    rounds: int


@dataclass(frozen=True)
class ERK(Distribution):
    """Erdos-Renyi-Kernel: small and thin layers stay denser than large ones.

    A layer's raw weight is ``p_l = (sum(shape) / prod(shape)) ** power``; ``epsilon`` solves
    ``epsilon * sum_rest(p_l n_l) = sum_rest(n_l - z_l) - sum_saturated(z_l)`` with ``z_l = floor(sparsity * n_l)``.
    While the largest ``epsilon * p_l`` exceeds 1, the layers that attain it become dense and the equation is solved
    again without them; so clamping never misses the target.  Counts round up: the total exceeds the target by less
    than one weight per layer.  Evci et al., "Rigging the Lottery" (ICML 2020), section 3, and its published code.

    Attributes:
        power: exponent of the raw weight; 0 gives uniform, 1 the published form.
        kernel: whether kernel dimensions enter the sum and product (ERK); False uses (in + out) / (in * out) (ER, as
            in Mocanu et al., Nature Communications 2018).
        dense: name or names of layers to leave dense, stored as a tuple; they leave the equation, so ``sparsity``
            counts the others only.
        first_dense: leave the first layer (in registration order) dense, as RigL does at 99 %.
        last_dense: leave the last layer dense.
    """

    power: float = 1.0
    kernel: bool = True
    dense: str | Collection[str] = ()
    first_dense: bool = False
    last_dense: bool = False

    def __post_init__(self) -> None:
        if not (isinstance(self.power, (int, float)) and math.isfinite(self.power) and self.power >= 0):
            raise UsageError(f"power must be a finite number of at least 0; got {self.power!r}")
        object.__setattr__(self, "dense", layer_names(self.dense, "dense"))

    def dense_layers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Layers that the user leaves dense (those that saturate are not among them)."""
        return named_dense(names, self.dense, self.first_dense, self.last_dense)

    def solve(self, shapes: Mapping[str, Sequence[int]], sparsity: float) -> ErkSolution:
        """Solve the equation for layers of the given weight shapes.

        Args:
            shapes: layer name -> weight shape (out, in, kernel...), in registration order.
            sparsity: target in [0, 1) over the layers that are not left dense by name or position.

        Raises:
            UsageError: the sparsity is out of range or ``dense`` names an unknown layer.
        """
        check_sparsity(sparsity)
        fixed = self.dense_layers(list(shapes))
        sizes = {name: math.prod(shape) for name, shape in shapes.items() if name not in fixed}
        zeros = sum(math.floor(sparsity * n + ROUNDING_GUARD) for n in sizes.values())
        raw = {name: self._raw_weight(shapes[name]) for name, n in sizes.items() if n}
        rest, rounds, epsilon = list(raw), 0, math.nan
        while rest:
            # the zeros that saturated layers refuse are taken from the rest, so clamping does not miss the target
            epsilon = (sum(sizes[name] for name in rest) - zeros) / sum(raw[name] * sizes[name] for name in rest)
            rounds += 1
            largest = max(raw[name] for name in rest)
            if epsilon * largest <= 1.0:
                break
            rest = [name for name in rest if raw[name] != largest]
        fractions = {name: epsilon * raw[name] if name in rest else 1.0 for name in shapes}
        saturated = tuple(name for name in sizes if name not in rest)
        return ErkSolution(epsilon if rest else math.nan, fractions, saturated, rounds)

    def _raw_weight(self, shape: Sequence[int]) -> float:
        sides = shape if self.kernel else shape[:2]
        return float((sum(sides) / math.prod(sides)) ** self.power)

    def _share(self, pruned: Mapping[str, Tensor], sparsity: float) -> dict[str, int]:
        unfixed = replace(self, dense=(), first_dense=False, last_dense=False)  # those layers have left already
        fractions = unfixed.solve({name: tuple(t.shape) for name, t in pruned.items()}, sparsity).live_fractions
        return {name: keep_count(tensor.numel(), 1.0 - fractions[name]) for name, tensor in pruned.items()}
