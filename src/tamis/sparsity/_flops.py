"""Forward FLOPs of sparse networks, counted per sample.

1 MAC = 2 FLOPs throughout.  A layer costs ``2 * live * positions``: convolutions and linear layers only, without
biases; :func:`small_operation_flops` counts what else the published AC/DC code counts.  Fractions are relative to the
dense model's forward pass.  Whether ``live`` counts the mask (mask-based) or the weights that are not exactly zero
(exact-nnz) is the caller's choice and must be named next to the number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tamis.errors import UsageError


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs.

    Attributes:
        name: layer name.
        shape: weight shape (out, in / groups, kernel...).
        positions: output positions at which each weight is used once per sample: output height x width of a
            convolution, 1 for a linear layer on vectors.
    """

    name: str
    shape: tuple[int, ...]
    positions: int

    @property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense layer per sample."""
        return self.weights * self.positions

    @property
    def dense_flops(self) -> int:
        """FLOPs of the dense layer per sample, ``2 * macs``."""
        return 2 * self.macs


def forward_flops(costs: Iterable[LayerCost], live: Mapping[str, int] | None = None) -> int:
    """FLOPs of one forward pass of one sample: the sum of ``2 * live * positions``.

    Args:
        costs: the layers.
        live: layer name -> live weights; layers that it does not name are dense; ``None`` means all dense.

    Raises:
        UsageError: ``live`` names an unknown layer, or more weights than a layer has.

    >>> forward_flops([LayerCost("fc", (10, 64), 1)], {"fc": 64})
    128
    """
    layers = {cost.name: cost for cost in costs}
    counts = dict(live or {})
    unknown = sorted(set(counts) - set(layers))
    if unknown:
        raise UsageError(f"live counts for layers without a cost: {unknown}; the layers are {list(layers)}")
    total = 0
    for name, cost in layers.items():
        count = counts.get(name, cost.weights)
        if not 0 <= count <= cost.weights:
            raise UsageError(f"layer {name!r} has {cost.weights} weights; {count} cannot be live")
        total += 2 * count * cost.positions
    return total


def forward_fraction(costs: Iterable[LayerCost], live: Mapping[str, int]) -> float:
    """Forward FLOPs relative to the dense model; 1.0 for a model without layers. Errors as :func:`forward_flops`."""
    layers = list(costs)
    dense = forward_flops(layers)
    return forward_flops(layers, live) / dense if dense else 1.0


def small_operation_flops(
    *,
    norm_elements: int = 0,
    relu_elements: int = 0,
    pool_outputs: int = 0,
    pool_window: int = 0,
    bias_elements: int = 0,
) -> int:
    """FLOPs per sample of the operations that stay dense, as the published AC/DC code counts them.

    2 per normalised element, 1 per ReLU element, ``pool_window`` per output of a max-pooling layer, 1 per added bias;
    global average pooling and residual additions are not counted.

    Args:
        norm_elements: elements that pass through batch normalisation.
        relu_elements: elements that pass through a ReLU.
        pool_outputs: output elements of max-pooling layers.
        pool_window: elements per pooling window, for example 9 for 3 x 3.
        bias_elements: output elements to which a bias is added.
    """
    return 2 * norm_elements + relu_elements + pool_outputs * pool_window + bias_elements
