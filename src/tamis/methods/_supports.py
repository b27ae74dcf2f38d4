"""The supports of a model's layers during training: each layer is dense, masked or packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn, optim

from tamis.errors import UsageError
from tamis.kernels import native_available
from tamis.methods._masked import MaskedWeights
from tamis.methods._optimizer_state import drop_spanning_state, is_elementwise
from tamis.methods._packed import pack_with_state, unpack_with_state
from tamis.methods._state_hooks import hold
from tamis.nn import (
    can_compute_sparsely,
    can_pack,
    compute_densely,
    compute_sparsely,
    computes_sparsely,
    is_packed,
    worth_packing,
)

Packed = Literal["auto"] | bool


class LayerSupports:
    """Holds layers to masks between two mask changes, packed where possible, and lets them go again.

    All methods may only be called between an optimizer step and the next forward pass.

    Args:
        model: the whole model, to see which weights are shared.
        layers: the governed layers by name.
        optimizer: the optimizer that trains them.
        packed: ``"auto"`` packs what the native kernels can serve and what is worth it, True whatever can be packed,
            False nothing.
        replicated: in a distributed job, whether gradients are reduced by :class:`tamis.nn.Replicas`, which allows
            layers to be packed.
        dense_gradients: all weights are trained, so instead of packing, layers keep their weights and
            :func:`tamis.nn.compute_sparsely`.

    Raises:
        UsageError: ``packed=True`` with an optimizer that is not known to update each weight by itself, with no layer
            that can be packed, or in a distributed job.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, Any],
        optimizer: optim.Optimizer,
        packed: Packed,
        *,
        dense_gradients: bool = False,
        replicated: bool = False,
    ) -> None:
        self.layers = dict(layers)
        self._optimizer = optimizer
        self._forced = packed is True
        self._dense_gradients = dense_gradients
        self._replicated = replicated
        self._packable = {
            name
            for name, layer in layers.items()
            if can_pack(layer, within=model) and (not dense_gradients or can_compute_sparsely(layer))
        }
        refusal = self._why_not()
        if packed is True and refusal:
            raise UsageError(f"packed=True, but {refusal}; use packed='auto' or packed=False")
        if packed is False or refusal or (packed == "auto" and not native_available()):
            self._packable = set()
        self._masked: MaskedWeights | None = None

    def _why_not(self) -> str:
        if self._dense_gradients:
            return "" if self._packable else "no layer is a float32 CPU Linear or Conv2d that shares no weight"
        if not is_elementwise(self._optimizer):
            return f"{type(self._optimizer).__name__} is not known to update every weight by itself"
        if not self._replicated and (
            torch.distributed.is_available()
            and torch.distributed.is_initialized()
            and torch.distributed.get_world_size() > 1
        ):
            return "a distributed wrapper keeps buffers of the dense shapes (wrap the model in tamis.nn.Replicas)"
        if not self._packable:
            return "no layer can be packed (float32 CPU Linear, Conv1d or Conv2d that share no weight)"
        return ""

    @property
    def held(self) -> bool:
        """Whether masks are in force (sparse phase) or not (dense phase)."""
        return self._masked is not None

    @property
    def masks(self) -> dict[str, Tensor]:
        """Bool mask by layer name in registration order; empty in a dense phase."""
        if self._masked is None:
            return {}
        masked = self._masked.masks
        return {
            name: masked[name] if name in masked else layer.forward_pattern.mask()
            for name, layer in self.layers.items()
        }

    @property
    def packed_layers(self) -> list[str]:
        """Names of the layers that are packed now."""
        return [name for name, layer in self.layers.items() if is_packed(layer)]

    @property
    def sparse_layers(self) -> list[str]:
        """Names of the layers that run on the sparse kernels now, packed or with dense weight gradients."""
        return [name for name, layer in self.layers.items() if is_packed(layer) or computes_sparsely(layer)]

    @torch.no_grad()
    def hold(
        self,
        masks: Mapping[str, Tensor],
        *,
        packed: bool = True,
        gradients: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Put ``masks`` (bool, one per governed layer) in force: pruned weights become zero, layers are packed.

        With ``gradients``, masks that contain the others, weights of these get a gradient too.  A packed layer stores
        and trains them, but computes with those of ``masks``; in a masked one they become zero like all others.
        Whoever asked for it has to keep their values: :meth:`release` brings back the weights of ``masks`` alone.
        """
        self.release()
        for name, layer in self.layers.items():
            stored = masks[name] if gradients is None else gradients[name]
            if not packed or not self._worth_packing(name, stored):
                continue
            if self._dense_gradients:
                compute_sparsely(layer, masks[name])
            else:
                pack_with_state(layer, masks[name], self._optimizer, None if gradients is None else stored)
                hold(layer, None)
        dense = {name: layer.weight for name, layer in self.layers.items() if not is_packed(layer)}
        self._support_changes()
        self._masked = MaskedWeights(dense, masks, gradients)
        self._masked.zero_weights()
        for name, mask in self._masked.masks.items():
            hold(self.layers[name], mask)

    def show_gradients(self) -> None:
        """Until the next :meth:`hold`, hold layers by masking alone, so that pruned weights have gradients too."""
        if self.packed_layers:
            self.hold(self.masks, packed=False)

    @torch.no_grad()
    def release(self) -> None:
        """Make all layers dense again; pruned weights stay zero until something trains them."""
        for layer in self.layers.values():
            if is_packed(layer):
                unpack_with_state(layer, self._optimizer)
            compute_densely(layer)
            hold(layer, None)
        if self._masked is not None:
            self._support_changes()
        self._masked = None

    def _support_changes(self) -> None:
        if not self._dense_gradients:  # there all weights are trained, whatever the mask
            drop_spanning_state(self._optimizer)

    def zero_gradients(self) -> None:
        """Set the gradients of pruned weights to zero (packed layers have none)."""
        if self._masked is not None:
            self._masked.zero_gradients()

    def zero_weights(self) -> None:
        """Set the pruned weights to zero (packed layers have none)."""
        if self._masked is not None:
            self._masked.zero_weights()

    def masked(self, name: str, weight: Tensor) -> Tensor:
        """``weight``, of the dense shape of layer ``name``, times the layer's mask; itself in a dense phase.

        The layer must not be packed.
        """
        return weight if self._masked is None else self._masked.apply(name, weight)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Dense shape of each governed weight."""
        return {
            name: layer.pattern.shape if is_packed(layer) else tuple(layer.weight.shape)
            for name, layer in self.layers.items()
        }

    def weights(self) -> dict[str, Tensor]:
        """Dense copy-free view of the weights where dense, unpacked copies where packed; detached."""
        return {
            name: layer.dense_weight().detach() if is_packed(layer) else layer.weight.detach()
            for name, layer in self.layers.items()
        }

    def live_counts(self) -> dict[str, int]:
        """Weights per layer that may be non-zero: those of the mask, or all of them in a dense phase."""
        if not self.held:
            return {name: layer.weight.numel() for name, layer in self.layers.items()}
        masked = self._masked.masks if self._masked is not None else {}
        return {
            name: int(masked[name].sum()) if name in masked else layer.forward_pattern.nnz
            for name, layer in self.layers.items()
        }

    def nonzeros(self) -> dict[str, int]:
        """Exactly non-zero weights per layer, which may be fewer than the live ones."""
        return {
            name: int(torch.count_nonzero(layer.forward_values() if is_packed(layer) else layer.weight.detach()))
            for name, layer in self.layers.items()
        }

    def _worth_packing(self, name: str, mask: Tensor) -> bool:
        if name not in self._packable:
            return False
        return bool(mask.any()) if self._forced else worth_packing(mask)
