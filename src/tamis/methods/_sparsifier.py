"""The contract of a method: two lines of adoption, hooks on the optimizer's step, an unchanged training loop."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal

import torch
from torch import Tensor, nn, optim

from tamis.errors import UsageError
from tamis.methods._adoption import check_optimizer, claim_all, governed_layers, plain_module, register_hooks
from tamis.methods._checkpoint import SparsifierState, load_common, save_common
from tamis.methods._examples import Examples
from tamis.methods._latent_weights import Reparameterisation
from tamis.methods._ledger import ledger_rows
from tamis.methods._report import build_report
from tamis.methods._state_hooks import let_go
from tamis.methods._step_hooks import StepHooks
from tamis.methods._supports import LayerSupports, Packed
from tamis.nn import Replicas, pack_module
from tamis.sparsity import Distribution, Global, Pattern, Unstructured, dense_layers

_GLOBAL, _UNSTRUCTURED = Global(), Unstructured()


class Sparsifier(StepHooks):
    """Base of all methods (abstract): a method decides when masks change; this class does everything else.

    Use it in any training loop::

        sparsifier = ACDC(sparsity=0.9, total_steps=steps).attach(model, optimizer)
        ...                                     # the loop is unchanged
        dense, sparse = sparsifier.pair()
        sparsifier.finalize()

    Hooks on ``optimizer.step`` mask the gradients before it and the weights after it, and change masks between the
    step that ends a phase and the next forward pass.  Pruned weights are exactly zero after every step, whatever the
    optimizer.  Parameters are never renamed; ``copy.deepcopy``, pickling, weight tying, ``torch.compile`` and the keys
    of ``state_dict`` keep working.  While masks are in force, layers run packed where that pays (``packed``).

    Resuming equals the uninterrupted run bit for bit on one thread, in this order: ``attach(model, optimizer)``,
    ``sparsifier.load_state_dict``, ``model.load_state_dict``, ``optimizer.load_state_dict``.  While layers are packed,
    ``optimizer.state_dict()`` holds state of shape ``(nnz,)`` for them, with a hash of its mask, and state of another
    mask is refused; ``model.state_dict()`` always shows dense ones.

    A gradient norm that is clipped before ``optimizer.step`` counts gradients of pruned weights in masked layers (in
    packed ones there are none); call :meth:`mask_gradients` before clipping.  In a distributed job gradients are equal
    on all ranks, selection is deterministic, and so the masks are; compare the ``hash`` of the events.

    Args:
        sparsity: fraction of zeros in [0, 1) over the governed layers that the distribution does not leave dense.
        distribution: how the zeros are shared among layers.
        pattern: what a mask may look like.
        include: glob patterns of module names to govern; None takes all Linear, Conv1d and Conv2d whose weight is not
            an embedding's (or another kind of module's) as well.
        exclude: glob patterns of module names to leave alone, such as ``("conv1", "fc")``; of a shared weight any name.
        packed: ``"auto"`` packs the layers that are :func:`tamis.nn.worth_packing`, for the native kernels; True packs
            whatever can be packed, also for the plain-torch reference; False masks only.  Packed layers change the
            shape of their parameter, so exponential averages of weights and the like need False.
        on_collapse: ``"error"`` raises CollapseError before a layer would lose its last weight, ``"warn"`` goes on.
        examples: training batches and loss, for the methods that look at data by themselves (``needs_examples``).
        reparameterise: what the optimizer trains in place of the weights, such as
            :class:`~tamis.methods.PowerPropagation`; None trains the weights.

    Attributes:
        step: optimizer steps done since the first attach.
        phase: ``"sparse"`` while masks are in force, else ``"dense"``.
        masks: bool mask by layer name in registration order, empty in a dense phase.
        events: one JSON-able dict per mask change, see :class:`~tamis.methods._records.MaskRecorder`.
    """

    def __init__(
        self,
        sparsity: float,
        *,
        distribution: Distribution = _GLOBAL,
        pattern: Pattern = _UNSTRUCTURED,
        include: str | Collection[str] | None = None,
        exclude: str | Collection[str] = (),
        packed: Packed = "auto",
        on_collapse: Literal["error", "warn"] = "error",
        examples: Examples | None = None,
        reparameterise: Reparameterisation | None = None,
    ) -> None:
        super().__init__(sparsity, distribution, pattern, on_collapse, reparameterise)
        self.include = include
        self.exclude = exclude
        if packed not in ("auto", True, False):
            raise UsageError(f"packed must be 'auto', True or False; got {packed!r}")
        self.packed = packed
        self.examples = examples
        self._handles: list[Any] = []
        self._pending: SparsifierState | None = None

    # ---- adoption ----------------------------------------------------------------------------------------------

    def attach(self, model: nn.Module, optimizer: optim.Optimizer) -> Sparsifier:
        """Take charge of the model's prunable weights; returns self.

        A mask change that is due before the first step happens here.  Where this fails, nothing is governed, and a
        state that waits to be loaded goes on waiting.

        Args:
            model: any module; the one that ``torch.compile`` returns is fine too, and so is one wrapped in
                ``DistributedDataParallel`` (layers are masked then) or :class:`tamis.nn.Replicas` (packed).
            optimizer: any ``torch.optim.Optimizer`` that trains all governed weights that are not frozen.

        Raises:
            UsageError: already attached, detached after its first step (its state is gone), another sparsifier
                governs a layer, nothing is prunable, the optimizer trains another model or not all governed weights
                that require gradients, ``packed=True`` cannot be honoured, or the method needs ``examples`` and has
                none.
            CollapseError: a layer would lose its last weight.
        """
        if self._supports is not None:
            raise UsageError("this sparsifier is attached already; call detach() first")
        if self.step > 0 and self._pending is None:
            raise UsageError(
                f"this sparsifier has governed {self.step} steps already; attach a new one, or go on from its state: "
                "call load_state_dict(state) before attach"
            )
        if self.needs_examples and self.examples is None:
            raise UsageError(
                f"{type(self).__name__} looks at training data by itself: give it "
                "examples=tamis.Examples(batches), where batches() returns an iterable of (inputs, targets)"
            )
        plain = plain_module(model)
        layers = governed_layers(plain, self.include, self.exclude)
        check_optimizer(plain, layers, optimizer)
        dense_layers(list(layers), self.distribution, self.pattern)  # refuses names that do not exist
        supports = LayerSupports(
            plain,
            layers,
            optimizer,
            self.packed,
            dense_gradients=self.dense_gradients,
            replicated=isinstance(model, Replicas),
        )
        claim_all(layers)
        self._model, self._optimizer, self._supports = plain, optimizer, supports
        supports.release()
        self._handles = register_hooks(plain, layers, optimizer, self._before_step, self._after_step, self._due)
        try:
            self._clear_records()
            self._begin_run()
            self._prepare()
            if self._pending is None:
                self._enter_step()
            else:
                self.load_state_dict(self._pending)
                self._pending = None
        except BaseException:
            self.detach()
            raise
        return self

    def detach(self) -> None:
        """Remove all hooks and unpack all layers; pruned weights stay zero until something trains them."""
        if self._supports is not None:
            masks = self._supports.masks
            self._supports.release()
            with torch.no_grad():
                for name, layer in self._supports.layers.items():
                    if name in masks:
                        layer.weight.masked_fill_(~masks[name], 0.0)  # +0.0, also where masking left -0.0
                    let_go(layer)
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._latents.forget()
        self._due.loaded_with(False)
        self._supports = None
        self._optimizer = None

    def conclude(self) -> None:
        """Do what the method does once after training; :meth:`finalize` calls it.  Nothing, by default.

        Raises:
            UsageError: not attached.
        """
        self._attached()

    def finalize(self, *, keep_packed: bool = False) -> nn.Module:
        """End the sparsifier's work and return the model with exact zeros (in place).

        Args:
            keep_packed: leave the layers that are worth it packed; the model's own ``state_dict`` then holds packed
                arrays.  Otherwise all layers are dense.

        Raises:
            UsageError: not attached.
        """
        self.conclude()
        supports = self._attached()
        masks, packed = supports.masks, supports.packed_layers
        self._close_interval()
        layers = supports.layers
        self.detach()
        if keep_packed:
            for name in packed:
                pack_module(layers[name], masks[name])
        assert self._model is not None
        return self._model

    # ---- in the training loop ----------------------------------------------------------------------------------

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero now, for a gradient norm that should not count them."""
        self._attached().zero_gradients()

    def before_change(self, callback: Callable[[Sparsifier], Any]) -> None:
        """Call ``callback(sparsifier)`` before every mask change, while the weights are those of the ending phase.

        This is the moment to evaluate the model at the end of a phase: once the last step of a phase has returned, the
        next phase has begun.  The callback may run forward passes without gradients, call ``ACDC.observe``, and save a
        checkpoint (not with RigL and SRigL, see :meth:`state_dict`): a run resumed from it makes the change when model
        and optimizer are loaded, and calls its callbacks before that.
        """
        self._callbacks.append(callback)

    # ---- what a user reads -------------------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """Everything known about the run so far, JSON types only: configuration, events, phases, layers."""
        return build_report(self)

    def ledger(self, example: Tensor) -> list[dict[str, Any]]:
        """Cost of the run so far against dense training; ``example`` is one input batch, whose size does not matter.

        FLOPs by the masks, FLOPs by the weights that are not exactly zero, measured CPU time and measured wall time,
        each row with its rule and its denominator.  What :attr:`examples` are used for is not counted.

        See :func:`~tamis.methods._ledger.ledger_rows` for the columns.

        Raises:
            UsageError: never attached.
        """
        if self._model is None:
            raise UsageError("the ledger measures layers of the model; call attach(model, optimizer) first")
        live = {name: row["live"] for name, row in self.events[-1]["layers"].items()} if self.events else {}
        trained = None if self._supports is None else self._trained_counts()
        history = self._history.rows(self.step, self._supports, trained)
        times = self._times.rows(None if self._supports is None else self.phase)
        return ledger_rows(
            self._model,
            example,
            history,
            live,
            cost=self._training_cost,
            rule=self.cost_rule,
            published=self._published_cost,
            times=times,
        )

    # ---- checkpoints -------------------------------------------------------------------------------------------

    def state_dict(self) -> SparsifierState:
        """``{"tensors": {name: Tensor}, "json": {...}}``: masks, step, events, and what the method needs to go on.

        Raises:
            UsageError: not attached, or called in a ``before_change`` callback of a method that changes masks in place
                of an optimizer step (RigL, SRigL).
        """
        if self._step_under_way:
            raise UsageError(
                f"{type(self).__name__} changes its masks in place of an optimizer step, by the gradients of a batch "
                "that has passed through the model already, so nothing can resume here; save after optimizer.step()"
            )
        common, own = save_common(self), self._own_state()
        return {
            "tensors": {**common["tensors"], **own["tensors"]},
            "json": {**common["json"], "own": own["json"]},
        }

    def load_state_dict(self, state: SparsifierState) -> None:
        """Continue where ``state`` was saved: masks are put in force and layers packed at once.

        Before :meth:`attach`, the state is kept and loaded there.

        Raises:
            UsageError: the state is of another method, other choices, or another model; nothing is changed then.
        """
        if self._supports is None:
            self._pending = state
            return
        self._latents.check(state["tensors"], self._supports.layers)
        load_common(self, state)
        self._latents.load(state["tensors"], self._supports.layers)
        self._load_own_state(state["tensors"], state["json"]["own"])
