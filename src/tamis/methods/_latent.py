"""Base of the methods that train dense weights through a sparse forward pass."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._latent_weights import LatentWeights
from tamis.methods._ledger import Stretch
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import dense_gradient_cost, mask_hash


class LatentSparsifier(Sparsifier):
    """Trains latent weights, all of them, while the model computes with sparse ones made from them (abstract).

    Between steps the model holds the sparse weights, exact zeros included, and this object the latent ones.  In
    ``optimizer.step`` the latent weights are in the model, with their own gradients: momentum, weight decay and the
    like act on them.  A closure, as LBFGS wants it, runs on the sparse weights.

    - ``model.state_dict()``, copies and exports hold the sparse weights; the latent ones are in :meth:`state_dict` of
      the sparsifier and come back bit for bit.
    - A weight that is changed from outside between two steps (loaded, edited) gives its latent weight a new value; the
      others keep theirs.
    - After :meth:`detach` or :meth:`finalize` the model keeps the sparse weights and the latent ones are gone;
      :class:`~tamis.methods.KeepZeros` trains on with those zeros.
    - Layers keep their dense weights, because all of them are trained.  Where the support rests for some steps
      (``rests``), ``packed`` lets their forward pass and input gradient run on the sparse kernels; the gradient of the
      weight stays dense.  ``finalize(keep_packed=True)`` packs nothing here, use :func:`tamis.sparsify` on the result.

    Supports may change at every step.  Of these changes only some are recorded as events, announced to
    :meth:`before_change` callbacks and checked for collapse: the first, one in every ``record_every`` steps, the last.

    Args:
        sparsity: see :class:`Sparsifier`.
        total_steps: optimizer steps of the whole run.
        record_every: steps between two events; None records about a hundred in a run.
        rests: whether the support stays the same for several steps; the method's to say, not the user's.
        **options: see :class:`Sparsifier`.

    Raises:
        UsageError: ``packed=True`` where the support does not rest, another reparameterisation was asked for, or a
            number is out of range.
    """

    dense_gradients: ClassVar[bool] = True
    cost_rule: ClassVar[str] = "2 f(live) + f_D"

    def __init__(
        self,
        sparsity: float,
        total_steps: int,
        *,
        record_every: int | None = None,
        rests: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **options)
        name = type(self).__name__
        if isinstance(total_steps, bool) or not isinstance(total_steps, int) or total_steps < 1:
            raise UsageError(f"total_steps must be a whole number of at least 1; got {total_steps!r}")
        if record_every is not None and record_every < 1:
            raise UsageError(f"record_every must be at least 1 step; got {record_every}")
        if self.packed is True and not rests:
            raise UsageError(
                f"packed=True, but the support of {name} may change at every step, and packing it anew costs more than "
                "the sparse kernels gain; use packed='auto'"
            )
        if self.reparameterise is not None:
            raise UsageError(f"{name} is a reparameterisation itself; got reparameterise={self.reparameterise!r} too")
        if not rests:
            self.packed = False
        self.total_steps = total_steps
        self.record_every = math.ceil(total_steps / 100) if record_every is None else record_every
        self._latents = LatentWeights(self)

    # ---- what a method decides ---------------------------------------------------------------------------------

    @abstractmethod
    def effective(self, name: str, latent: Tensor) -> Tensor:
        """The weights that layer ``name`` computes with; called without gradients."""

    def latent(self, name: str, effective: Tensor) -> Tensor:
        """Latent weights that give ``effective``, for weights that were written from outside."""
        return effective

    def gradient(self, name: str, latent: Tensor, upstream: Tensor) -> Tensor:
        """Gradient of the latent weights; by default that of the effective ones, for all weights."""
        return upstream

    @abstractmethod
    def _follow(self, step: int) -> None:
        """Bring the support up to date before optimizer step number ``step``, with :meth:`_put_in_force`."""

    @abstractmethod
    def _target(self) -> float:
        """The sparsity that the present support was made for."""

    # ---- the frame ---------------------------------------------------------------------------------------------

    def _enter(self, step: int) -> None:
        if step == 0:
            self._latents.take(self._attached().layers, as_they_are=True)
        self._follow(step)

    def _is_recorded(self, step: int) -> bool:
        return not self.events or step == self.total_steps or step - self.events[-1]["step"] >= self.record_every

    def _put_in_force(self, masks: Mapping[str, Tensor], *, record: bool) -> None:
        """Hold the layers to ``masks`` and write the effective weights, which must be zero outside them."""
        supports = self._attached()
        if record:
            self._hold(masks, "prune", self._target())
        else:
            supports.hold(masks)
        self._latents.show(supports.layers)

    def _training_cost(self, stretch: Stretch) -> float:
        return dense_gradient_cost(stretch.forward)

    def mask_gradients(self) -> None:
        """Nothing: weights outside the support are trained too, and their gradients count in a norm."""
        self._attached()

    def latent_weights(self) -> dict[str, Tensor]:
        """Copies of the latent weights by layer name, in the shape and dtype of the layer's weight.

        Raises:
            UsageError: not attached.
        """
        return {name: latent.clone() for name, latent in self._latents.take(self._attached().layers).items()}

    @torch.no_grad()
    def conclude(self) -> None:
        """Record the last support, if that was not done yet.

        Raises:
            UsageError: not attached.
        """
        masks = self._attached().masks
        if masks and self.events[-1].get("hash") != mask_hash({name: mask.cpu() for name, mask in masks.items()}):
            self._put_in_force(masks, record=True)

    def _load_own_state(self, tensors: Mapping[str, Tensor], json: Mapping[str, Any]) -> None:
        self._latents.show(self._attached().layers)
