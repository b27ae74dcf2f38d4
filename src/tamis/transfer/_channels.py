"""What pruning left of whole filters and channels, layer by layer (section 5.3 of the transfer study).

Regularising methods such as AC/DC leave many filters without a live weight, progressive pruning few.  Structured speed
needs whole channels; this says how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.nn import is_packed, prunable_modules


@dataclass(frozen=True)
class ChannelRow:
    """One convolution.

    ``zero_filters`` counts output channels without a non-zero weight, ``zero_inputs`` input channels that no weight
    reads (over all groups); fractions are of all of them.  ``removable`` are zero filters whose output no residual sum
    needs: behind the batch norm they are constants that the next layer can absorb.
    """

    layer: str
    filters: int
    inputs: int
    zero_filters: int
    zero_filter_fraction: float
    zero_inputs: int
    zero_input_fraction: float
    nonzeros_min: int
    nonzeros_median: float
    nonzeros_max: int
    sparsity: float
    weights: int
    removable: int


@dataclass(frozen=True)
class ChannelStatistics:
    """The rows of all convolutions; means are weighted by the number of weights."""

    rows: tuple[ChannelRow, ...]

    @property
    def zero_filter_fraction(self) -> float:
        """Mean share of all-zero filters."""
        return self._mean([row.zero_filter_fraction for row in self.rows])

    @property
    def zero_input_fraction(self) -> float:
        """Mean share of all-zero input channels."""
        return self._mean([row.zero_input_fraction for row in self.rows])

    @property
    def removable(self) -> int:
        """Output channels that could be removed without changing any residual sum."""
        return sum(row.removable for row in self.rows)

    @property
    def filters(self) -> int:
        """Output channels of all convolutions."""
        return sum(row.filters for row in self.rows)

    def summary(self) -> dict[str, Any]:
        """JSON types: the model's numbers and the rows."""
        return {
            "zero_filter_fraction": self.zero_filter_fraction,
            "zero_input_fraction": self.zero_input_fraction,
            "removable_channels": self.removable,
            "channels": self.filters,
            "layers": [asdict(row) for row in self.rows],
        }

    def _mean(self, shares: Sequence[float]) -> float:
        total = sum(row.weights for row in self.rows)
        return sum(share * row.weights for share, row in zip(shares, self.rows, strict=True)) / total if total else 0.0


def filter_statistics(layer: str, weight: Tensor, groups: int = 1, in_residual: bool = False) -> ChannelRow:
    """Statistics of one convolution weight.

    Args:
        layer: its name.
        weight: (O, I / groups, kh, kw) or (O, I / groups, k).
        groups: of the convolution.
        in_residual: its output is added to others, so that no filter of it can be removed.

    Raises:
        UsageError: not the weight of a convolution.
    """
    if weight.dim() not in (3, 4) or weight.shape[0] % groups:
        raise UsageError(f"{layer}: weight of shape {tuple(weight.shape)}; expected that of a convolution")
    live = (weight.detach() != 0).flatten(2)
    per_filter = live.flatten(1).sum(1)
    by_group = live.any(2).reshape(groups, weight.shape[0] // groups, weight.shape[1]).any(1)
    zero_filters, zero_inputs = int((per_filter == 0).sum()), int((~by_group).sum())
    inputs = groups * weight.shape[1]
    return ChannelRow(
        layer=layer,
        filters=weight.shape[0],
        inputs=inputs,
        zero_filters=zero_filters,
        zero_filter_fraction=zero_filters / weight.shape[0],
        zero_inputs=zero_inputs,
        zero_input_fraction=zero_inputs / inputs,
        nonzeros_min=int(per_filter.min()),
        nonzeros_median=float(torch.quantile(per_filter.double(), 0.5)),
        nonzeros_max=int(per_filter.max()),
        sparsity=1.0 - int(per_filter.sum()) / weight.numel(),
        weights=weight.numel(),
        removable=0 if in_residual else zero_filters,
    )


def channel_statistics(model: nn.Module, residual: Sequence[str] | None = None) -> ChannelStatistics:
    """Statistics of every convolution of a model, dense or packed.

    Args:
        model: any module.
        residual: names of the convolutions whose outputs enter a residual sum; None finds them by the names that
            torchvision's and tamis's networks use: the last convolution of a block, shortcuts, and the stem.
    """
    layers: Mapping[str, Any] = {
        name: layer for name, layer in prunable_modules(model).items() if isinstance(layer, (nn.Conv1d, nn.Conv2d))
    }
    summed = set(_residual(model, list(layers)) if residual is None else residual)
    return ChannelStatistics(
        tuple(
            filter_statistics(
                name, layer.dense_weight() if is_packed(layer) else layer.weight, layer.groups, name in summed
            )
            for name, layer in layers.items()
        )
    )


def _residual(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Convolutions whose output is added to something: those that end a block with a shortcut, shortcuts, the stem."""
    found = []
    blocks = {name for name, module in model.named_modules() if _has_shortcut(module)}
    for block in blocks:
        own = [name for name in names if name.startswith(f"{block}.")]
        main = [name for name in own if "downsample" not in name and "hortcut" not in name]
        found += [name for name in own if name not in main] + main[-1:]
    if blocks and names:
        found.append(names[0])
    return found


def _has_shortcut(module: nn.Module) -> bool:
    return any(hasattr(module, name) for name in ("downsample", "shortcut", "convShortcut"))
