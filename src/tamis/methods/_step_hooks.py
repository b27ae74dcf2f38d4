"""What happens around each step of the optimizer: gradients before it, weights and masks after it."""

from __future__ import annotations

from typing import Any, Literal

from torch import optim

from tamis.methods._adoption import with_closure
from tamis.methods._latent_weights import LatentWeights, Reparameterisation
from tamis.methods._loss_scaling import check_scaler, is_void, unscale_gradients
from tamis.methods._mask_changes import MaskChanges
from tamis.sparsity import Distribution, Pattern


class StepHooks(MaskChanges):
    """The hooks on ``optimizer.step`` (abstract); arguments are those of :class:`~tamis.methods.Sparsifier`."""

    def __init__(
        self,
        sparsity: float,
        distribution: Distribution,
        pattern: Pattern,
        on_collapse: Literal["error", "warn"],
        reparameterise: Reparameterisation | None,
    ) -> None:
        super().__init__(sparsity, distribution, pattern, on_collapse)
        self.reparameterise = reparameterise
        self._latents = LatentWeights(reparameterise)
        self._step_under_way = False

    def _before_step(self, optimizer: optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layers = self._attached().layers
        self._due.check()
        check_scaler(optimizer, kwargs)
        if is_void(optimizer):
            return None
        unscale_gradients(optimizer)

        def before_closure() -> None:
            self._latents.to_model(layers)
            self._before_closure()

        def after_backward() -> None:
            if self._looks_at_gradients():
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        parameter.grad = None  # torch's optimizers leave such parameters and their state alone
            if not self.dense_gradients:
                self._attached().zero_gradients()
            self._latents.to_optimizer(layers)

        closed = with_closure(args, kwargs, before_closure, after_backward)
        if closed is None:
            after_backward()
        else:
            self._latents.to_optimizer(layers, gradients=False)  # an optimizer may look at weights before its closure
        return closed

    def _looks_at_gradients(self) -> bool:
        self._step_under_way = True
        try:
            return self._on_gradients()
        finally:
            self._step_under_way = False

    def _after_step(self, optimizer: optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        supports = self._attached()
        if is_void(optimizer):
            return
        self._latents.to_model(supports.layers)
        supports.zero_weights()
        self.step += 1
        self._times.step_ended()
        if self._ends_epoch(self.step):
            self._close_interval()
        self._enter_step()
        self._times.step_begins()
