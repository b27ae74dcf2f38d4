"""Weights held at zero by multiplication: the layer stores every weight, a mask says which of them live."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class MaskedWeights:
    """Masks of some dense parameters, applied with multi-tensor operations.

    Both sides must be masked.  With masked gradients alone, momentum and weight decay bring all pruned weights back in
    one step of SGD with momentum, Adam or AdamW; with masked weights alone, their gradients disturb whatever looks at
    all gradients, such as a norm.

    Args:
        parameters: dense parameters by layer name.
        masks: bool masks of the parameters' shapes under the same names, True where a weight lives.
        gradients: masks that contain the others, True where a gradient stays; None means the others.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._masks = {name: masks[name].to(parameters[name].device) for name in parameters}
        sparse = [name for name, mask in self._masks.items() if not bool(mask.all())]
        self._weights = [parameters[name] for name in sparse]
        # Multiplying by floats is five times faster than by bools, which torch converts again at every step.
        self._factor_of = {name: self._masks[name].to(parameters[name].dtype) for name in sparse}
        self._factors = list(self._factor_of.values())
        self._gradient_factors = (
            self._factors if gradients is None else [gradients[name].to(parameters[name]) for name in sparse]
        )

    @property
    def masks(self) -> dict[str, Tensor]:
        """Bool mask by layer name; do not write to them."""
        return dict(self._masks)

    @torch.no_grad()
    def zero_gradients(self) -> None:
        """Set the gradients of pruned weights to zero; parameters without a gradient are skipped."""
        pairs = [(w.grad, f) for w, f in zip(self._weights, self._gradient_factors, strict=True) if w.grad is not None]
        if pairs:
            torch._foreach_mul_([grad for grad, _ in pairs], [factor for _, factor in pairs])

    @torch.no_grad()
    def zero_weights(self) -> None:
        """Set the pruned weights to zero (a negative weight becomes -0.0, which counts as zero)."""
        if self._weights:
            torch._foreach_mul_(self._weights, self._factors)

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """``weight``, of the shape of layer ``name``, with zeros where its mask is False; itself if that is nowhere."""
        factor = self._factor_of.get(name)
        return weight if factor is None else weight * factor
