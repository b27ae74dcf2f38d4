"""STR: a learned soft threshold per layer.

Kusupati, Ramanujan, Somani, Wortsman, Jain, Kakade, Farhadi, "Soft Threshold Weight Reparameterization for Learnable
Sparsity" (ICML 2020), with the sigmoid of the released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.errors import CollapseError, UsageError
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._collapse import check_collapse
from tamis.methods._latent import LatentSparsifier
from tamis.methods._ledger import Stretch
from tamis.methods._optimizer_companions import add_companion, remove_companion
from tamis.sparsity import (
    Unstructured,
    masks_from_zeros,
    soft_threshold_gradients,
    sparsity_of,
    static_cost,
)


@final
class STR(LatentSparsifier):
    """Compute with ``sign(w) * relu(|w| - sigmoid(s))``, where every layer learns its own ``s``.

    The sparsity is an outcome: weight decay, which acts on ``s`` as on weights, drives ``s`` towards 0 and the
    threshold up, and gradients say where that hurts.  How much is pruned follows from the optimizer's weight decay and
    learning rates; :class:`~tamis.methods.DecaySearch` looks for the weight decay that gives a wanted sparsity.

    From :meth:`attach` to :meth:`detach` each ``s`` is a scalar parameter in the optimizer group of its layer's weight,
    so learning rates, schedulers and weight decay of that group hold for it.  It is no part of the model.  Every
    governed weight must be trained by an optimizer that can train scalars; :meth:`attach` raises UsageError otherwise.

    A weight that the threshold removes has no gradient, so it can only fall to decay or come back if the threshold
    falls; a latent weight that is exactly 0 never has a gradient.

    Args:
        sparsity: what ``trim`` cuts to, in [0, 1); training does not know it.
        total_steps: optimizer steps of the whole run.
        initial_logit: ``s`` at the start; the published ResNet-50 run has -3200 with weight decay 2.2518e-5, the
            published MobileNetV1 -12800.  Short runs need one closer to 0.
        trim: in :meth:`finalize`, cut the smallest magnitudes down to exactly ``sparsity`` if the model is denser; a
            sparser one stays as it is.
        **options: see :class:`LatentSparsifier`; ``distribution`` says how ``trim`` shares out the zeros.

    Attributes:
        logits: the parameter ``s`` by layer name.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "str"
    cost_rule = "3 f(live)"

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        initial_logit: float = -3200.0,
        trim: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, total_steps, rests=False, **options)
        if not isinstance(self.pattern, Unstructured):
            raise UsageError(f"a threshold knows no pattern; got pattern={self.pattern!r}, use Unstructured()")
        if not abs(initial_logit) < float("inf"):
            raise UsageError(f"initial_logit must be a finite number; got {initial_logit!r}")
        self.initial_logit = float(initial_logit)
        self.trim = trim
        self._begin_run()

    def _begin_run(self) -> None:
        self.logits: dict[str, nn.Parameter] = {}

    def _prepare(self) -> None:
        assert self._optimizer is not None
        for name, layer in self._attached().layers.items():
            self.logits[name] = nn.Parameter(layer.weight.detach().new_tensor(self.initial_logit))
            add_companion(self._optimizer, layer.weight, self.logits[name], f"{name}.threshold_logit")

    def detach(self) -> None:
        """As :meth:`Sparsifier.detach`; takes the thresholds out of the optimizer."""
        if self._optimizer is not None:
            for logit in self.logits.values():
                remove_companion(self._optimizer, logit)
        super().detach()

    def effective(self, name: str, latent: Tensor) -> Tensor:
        """``sign(w) * relu(|w| - sigmoid(s))``."""
        # torch's fused form of sparsity.soft_threshold, equal to the bit and much faster where no gradient is wanted
        return F.softshrink(latent, float(torch.sigmoid(self.logits[name].detach())))

    def latent(self, name: str, effective: Tensor) -> Tensor:
        """``sign(w) * (|w| + sigmoid(s))``, and 0 for 0."""
        return torch.sign(effective) * (effective.abs() + torch.sigmoid(self.logits[name].detach()))

    def gradient(self, name: str, latent: Tensor, upstream: Tensor) -> Tensor:
        """``upstream`` where the threshold lets the weight through; gives the layer's ``s`` its gradient too."""
        gradients = soft_threshold_gradients(latent, self.logits[name].detach(), upstream)
        self.logits[name].grad = gradients.logit
        return gradients.weight

    def thresholds(self) -> dict[str, float]:
        """``sigmoid(s)`` by layer name."""
        return {name: float(torch.sigmoid(logit.detach())) for name, logit in self.logits.items()}

    def _follow(self, step: int) -> None:
        for logit in self.logits.values():
            logit.grad = None  # a layer without a gradient at the next step must not reuse this one
        supports = self._attached()
        self._latents.show(supports.layers)
        masks = masks_from_zeros(supports.weights())
        record = self._is_recorded(step)
        if record:
            # The threshold has moved already, and the weights with it: callbacks see them in their own support.
            self._close_interval()
            self._put_in_force(masks, record=False)
            self._announce()
            self._refuse_empty(masks, step)
            check_collapse(masks, sparsity_of(masks), step, self.on_collapse)
        self._put_in_force(masks, record=record)

    def _refuse_empty(self, masks: Mapping[str, Tensor], step: int) -> None:
        empty = [name for name, mask in masks.items() if mask.numel() and not bool(mask.any())]
        if empty and self.on_collapse == "error":
            raise CollapseError(
                f"step {step}: no weight survives the threshold in {', '.join(empty)}, for good: use "
                "less weight decay or a smaller initial_logit, exclude the layer, or pass on_collapse='warn'"
            )

    def _target(self) -> float:
        return sparsity_of(masks_from_zeros(self._attached().weights()))

    def _training_cost(self, stretch: Stretch) -> float:
        return static_cost(stretch.forward)  # gradients of removed weights are zero, those of s need live weights alone

    @torch.no_grad()
    def conclude(self) -> None:
        """Cut to exactly ``sparsity`` by magnitude if ``trim`` asks for it and fewer weights are zero.

        Raises:
            UsageError: not attached.
            CollapseError: a layer would keep no weight.
        """
        super().conclude()
        supports = self._attached()
        if self.trim:
            scores = {name: weight.abs() for name, weight in supports.weights().items()}
            present = supports.masks
            masks = self._choose(scores, self.sparsity, present)
            if any(not torch.equal(masks[name], present[name]) for name in masks):
                self._announce()
                self._hold(masks, "prune", self.sparsity)

    def _configuration(self) -> dict[str, Any]:
        return {
            "total_steps": self.total_steps,
            "record_every": self.record_every,
            "initial_logit": self.initial_logit,
            "trim": self.trim,
        }

    def _own_state(self) -> SparsifierState:
        logits = {f"logit/{name}": logit.detach().clone() for name, logit in self.logits.items()}
        return {"tensors": logits, "json": {}}

    @torch.no_grad()
    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        for name, logit in self.logits.items():
            logit.copy_(tensors[f"logit/{name}"])
        super()._load_own_state(tensors, json)
