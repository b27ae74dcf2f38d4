"""SynFlow: iterative synaptic flow pruning, without data.

Tanaka, Kunin, Yamins, Ganguli, "Pruning neural networks without any data by iteratively conserving synaptic flow"
(NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tamis.errors import UsageError
from tamis.methods._at_init import AtInit
from tamis.methods._collapse import check_collapse
from tamis.sparsity import check_combination, select_masks, synflow_masks


class SynFlow(AtInit):
    """Keep the weights that carry the flow of an all-ones input through the network of absolute values.

    All parameters and buffers of a copy become their absolute values in float64, the copy is in evaluation mode, and
    in each of ``rounds`` rounds the weights with the smallest ``|w * dR/dw|`` leave; ``R`` is the sum of the outputs.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        rounds: number of cuts, 100 as published; the live fraction after round ``k`` is
            ``(1 - sparsity) ** (k / rounds)``.  One round is not SynFlow and can empty layers.
        input_shape: shape of one sample, such as ``(3, 32, 32)``; None takes that of the first of the ``examples``,
            whose values are not looked at.
        **options: ``examples``, ``distribution`` (global as published), ``from_zeros``, and the options of
            :class:`Sparsifier`.

    Raises:
        UsageError: an option is out of range, the pattern has one sparsity only (N:M), or (at :meth:`attach`) neither
            an input shape nor examples are given.
    """

    method = "synflow"

    def __init__(
        self,
        sparsity: float,
        *,
        rounds: int = 100,
        input_shape: tuple[int, ...] | list[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **options)
        if rounds < 1:
            raise UsageError(f"SynFlow needs at least one round; got {rounds}")
        if rounds > 1:
            check_combination(1.0 - (1.0 - self.sparsity) ** (1.0 / rounds), self.distribution, self.pattern)
        self.rounds = rounds
        self.input_shape = None if input_shape is None else tuple(input_shape)

    def _masks(
        self, twin: nn.Module, layers: Mapping[str, nn.Module], within: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        ones = self._ones(twin)
        twin.double().eval()
        with torch.no_grad():
            for tensor in (*twin.parameters(), *twin.buffers()):
                if tensor.is_floating_point():
                    tensor.abs_()

        def flow(live: Mapping[str, Tensor]) -> Tensor:
            weights = {f"{name}.weight" if name else "weight": weight for name, weight in live.items()}
            total: Tensor = functional_call(twin, weights, (ones,)).sum()
            return total

        def select(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
            return select_masks(scores, sparsity, self.distribution, self.pattern)

        weights = {name: layer.weight for name, layer in layers.items() if isinstance(layer.weight, Tensor)}
        masks = synflow_masks(weights, flow, self.sparsity, self.rounds, select, within)
        check_collapse(masks, self.sparsity, self.step, self.on_collapse)
        return masks

    def _ones(self, twin: nn.Module) -> Tensor:
        shape = self.input_shape
        if shape is None:
            if self.examples is None:
                raise UsageError(
                    "SynFlow needs the shape of one sample: give input_shape, such as (3, 32, 32), or examples"
                )
            inputs, _ = next(self.examples.take(1))
            if not inputs.is_floating_point():
                raise UsageError(
                    f"SynFlow feeds ones to the model, which takes {inputs.dtype} inputs; that has no flow"
                )
            shape = tuple(inputs.shape[1:])
        return torch.ones(1, *shape, dtype=torch.float64, device=next(twin.parameters()).device)

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "rounds": self.rounds}
