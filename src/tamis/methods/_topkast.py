"""Top-KAST: always sparse, with a smaller mask for the forward pass than for the gradient.

Jayakumar, Pascanu, Rae, Osindero, Elsen, "Top-KAST: Top-K Always Sparse Training" (NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, optim

from tamis.errors import UsageError
from tamis.methods._bitmap import from_bitmap, to_bitmap
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._dormant import DormantWeights
from tamis.methods._ledger import ForwardFraction, Stretch
from tamis.methods._sparsifier import Sparsifier
from tamis.nn import is_packed
from tamis.sparsity import (
    NM,
    TopKastMasks,
    Uniform,
    check_combination,
    check_sparsity,
    live_counts,
    magnitude_score,
    select_masks,
    topkast_cost,
    topkast_penalty_gradient,
)

_UNIFORM = Uniform()


class TopKAST(Sparsifier):
    """Compute with the largest weights A, train the larger set B around them, freeze the rest.

    Every ``every`` steps, A becomes the largest magnitudes at ``sparsity`` and B those at ``backward_sparsity``, ranked
    by the *latent* weights: one dense copy in which nothing is ever pruned.  The gradient of the loss is that of a
    network with the weights A; it reaches the weights of B, and the weights outside B keep their values.  A penalty
    pulls weights of B outside A harder towards zero, so that they have to earn their place.  A weight that enters B has
    the optimizer state of a new weight.

    The model that everybody sees is A: the parameters, ``state_dict`` and forward passes have exact zeros outside A
    between optimizer steps, and the deployed model is A.  The latent values of other weights are in this sparsifier's
    own ``state_dict``, from which a run resumes exactly.  A packed layer stores the weights of B; forward pass and
    gradient of its input run on the pattern of A, the gradient of its weights on that of B.  In a masked layer the
    latent values are in the parameter only while the optimizer takes its step.

    Args:
        sparsity: fraction of zeros in the forward pass, in [0, 1).
        backward_sparsity: fraction of weights without gradient, in [0, sparsity]; None gives B twice as many weights
            as A.
        every: optimizer steps from one choice of A and B to the next.  Each leaves an event and builds the packed
            patterns anew, so 1 is for small models.
        strength: factor of the penalty ``1/2 (|w_A|^2 + |w_(B without A)|^2 / D)``, at least 0; ``D`` is the share of
            the layer's weights that A keeps.  Its gradient is added at the optimizer step, after any clipping.
        **options: see :class:`Sparsifier`; the distribution is uniform unless given.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "topkast"
    cost_rule = "2 f(A) + f(B)"

    def __init__(
        self,
        sparsity: float,
        *,
        backward_sparsity: float | None = None,
        every: int = 100,
        strength: float = 1e-4,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **{"distribution": _UNIFORM, **options})
        if self.reparameterise is not None:
            raise UsageError(f"TopKAST keeps latent weights of its own; got reparameterise={self.reparameterise!r} too")
        if isinstance(self.pattern, NM):
            raise UsageError(f"{self.pattern!r} has one sparsity, but TopKAST needs two; use another pattern")
        backward = max(0.0, 2.0 * self.sparsity - 1.0) if backward_sparsity is None else backward_sparsity
        if check_sparsity(backward, "backward_sparsity") > self.sparsity:
            raise UsageError(
                "the gradient mask must contain the forward mask, so backward_sparsity must not exceed sparsity; got "
                f"{backward!r} > {self.sparsity!r}"
            )
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UsageError(f"every must be a whole number of at least 1 optimizer step; got {every!r}")
        if not strength >= 0.0:
            raise UsageError(f"strength must be at least 0; got {strength!r}")
        check_combination(backward, self.distribution, self.pattern)
        self.backward_sparsity = backward
        self.every = every
        self.strength = float(strength)
        self._begin_run()

    def _begin_run(self) -> None:
        self._dormant = DormantWeights()
        self._layer_sparsity: dict[str, float] = {}

    @property
    def gradient_masks(self) -> dict[str, Tensor]:
        """The masks B, bool by layer name; ``masks`` are the masks A."""
        return {name: masks.backward for name, masks in self._dormant.masks.items()}

    def _enter(self, step: int) -> None:
        if step % self.every == 0:
            self._refresh()

    @torch.no_grad()
    def _refresh(self) -> None:
        self._announce()
        supports = self._attached()
        before = self.gradient_masks
        weights = self._dormant.all(supports.layers) if before else _copies(supports.weights())
        scores = {name: magnitude_score(weight) for name, weight in weights.items()}
        forward = self._choose(scores, self.sparsity, {})
        wide = select_masks(scores, self.backward_sparsity, self.distribution, self.pattern)
        masks = {name: TopKastMasks(mask, wide[name] | mask) for name, mask in forward.items()}
        supports.release()
        self._reset_state({name: masks[name].backward & ~mask for name, mask in before.items()})
        self._fill(weights, masks)
        self._hold(forward, "prune", self.sparsity, self.gradient_masks)

    def _fill(self, weights: Mapping[str, Tensor], masks: Mapping[str, TopKastMasks]) -> None:
        """Give dense layers their latent weights, and keep what holding them to the masks is about to hide."""
        for name, layer in self._attached().layers.items():
            layer.weight.copy_(weights[name])
        self._dormant.remember(weights, masks)
        self._layer_sparsity = {n: 1.0 - int(m.forward.sum()) / max(1, m.forward.numel()) for n, m in masks.items()}

    # ---- one optimizer step --------------------------------------------------------------------------------------

    def _before_closure(self) -> None:
        self._dormant.take_back(self._attached().layers)

    @torch.no_grad()
    def _on_gradients(self) -> bool:
        layers = self._attached().layers
        self._dormant.show(layers)
        for name, layer in layers.items() if self.strength > 0.0 else ():
            # A layer without a forward weight (on_collapse="warn") has no share that the penalty could be divided by.
            if layer.weight.grad is not None and self._layer_sparsity[name] < 1.0:
                layer.weight.grad.add_(self._penalty(name, layer))
        return False

    def _penalty(self, name: str, layer: Any) -> Tensor:
        masks = self._dormant.masks[name]
        if is_packed(layer):
            among = layer.pattern.remember("among", lambda: layer.inner.among(layer.pattern))
            masks = TopKastMasks(among, torch.ones_like(among))
        return topkast_penalty_gradient(layer.weight, masks, self._layer_sparsity[name], self.strength)

    def _after_step(self, optimizer: optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._dormant.take_back(self._attached().layers)
        super()._after_step(optimizer, args, kwargs)

    # ---- ledger and checkpoints ----------------------------------------------------------------------------------

    def _training_cost(self, stretch: Stretch) -> float:
        return topkast_cost(stretch.forward, stretch.trained)

    def _trained_counts(self) -> dict[str, int] | None:
        return live_counts(self.gradient_masks) if self._dormant.masks else None

    def _published_cost(self, live: Mapping[str, int], fraction: ForwardFraction) -> float | None:
        trained = self._trained_counts()
        return None if trained is None else topkast_cost(fraction(live), fraction(trained))

    def _configuration(self) -> dict[str, Any]:
        return {"backward_sparsity": self.backward_sparsity, "every": self.every, "strength": self.strength}

    def _own_state(self) -> SparsifierState:
        latent = self._dormant.all(self._attached().layers)
        masks = self._attached().masks
        tensors = {f"dormant/{name}": weight.masked_fill(masks[name], 0.0) for name, weight in latent.items()}
        tensors |= {f"gradient/{name}": to_bitmap(mask) for name, mask in self.gradient_masks.items()}
        return {"tensors": tensors, "json": {}}

    @torch.no_grad()
    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        supports = self._attached()
        weights = {name: weight + tensors[f"dormant/{name}"].to(weight) for name, weight in supports.weights().items()}
        masks = {
            name: TopKastMasks(forward, from_bitmap(tensors[f"gradient/{name}"], forward.shape).to(forward.device))
            for name, forward in supports.masks.items()
        }
        supports.release()
        self._fill(weights, masks)
        supports.hold({name: mask.forward for name, mask in masks.items()}, gradients=self.gradient_masks)


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
