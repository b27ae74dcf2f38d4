"""Pruning once, and training on with the mask; and training on with the zeros that a model already has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import masks_from_zeros


class OneShot(Sparsifier):
    """Prune by magnitude once and keep the mask from then on.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        at_step: optimizer steps before the pruning; 0 prunes in :meth:`attach`.
        from_zeros: prune inside the support that the model has then, so that its zeros stay.
        **options: see :class:`Sparsifier`.
    """

    method = "oneshot"

    def __init__(self, sparsity: float, *, at_step: int = 0, from_zeros: bool = False, **options: Any) -> None:
        super().__init__(sparsity, **options)
        if at_step < 0:
            raise UsageError(f"at_step must be at least 0; got {at_step}")
        self.at_step = at_step
        self.from_zeros = from_zeros

    def _enter(self, step: int) -> None:
        if step != self.at_step:
            return
        self._announce()
        weights = self._attached().weights()
        within = masks_from_zeros(weights) if self.from_zeros else {}
        masks = self._choose({name: weight.abs() for name, weight in weights.items()}, self.sparsity, within)
        self._hold(masks, "prune", self.sparsity)

    def _configuration(self) -> dict[str, Any]:
        return {"at_step": self.at_step, "from_zeros": self.from_zeros}


class KeepZeros(Sparsifier):
    """Fine-tune an already sparse model: every weight that is zero at :meth:`attach` stays zero.

    Args:
        masks: bool masks by layer name, where a checkpoint came with them: they are held instead of the zeros, so that
            a live weight may be zero; layers without a mask train all their weights.  None looks at the zeros.
        **options: ``include``, ``exclude`` and ``packed`` of :class:`Sparsifier`.

    Raises:
        UsageError: in :meth:`attach`, for a mask of another shape or of a layer that is not governed.
    """

    method = "keepzeros"

    def __init__(self, masks: Mapping[str, Tensor] | None = None, **options: Any) -> None:
        super().__init__(0.0, **options)
        self._given = None if masks is None else dict(masks)

    def _prepare(self) -> None:
        shapes = self._attached().shapes()
        for name, mask in (self._given or {}).items():
            if name not in shapes or tuple(mask.shape) != shapes[name] or mask.dtype != torch.bool:
                raise UsageError(
                    f"a mask for {name!r} of shape {tuple(mask.shape)}, {mask.dtype}; expected bool masks for layers "
                    f"among {sorted(shapes)}, each of the weight's shape"
                )

    def _enter(self, step: int) -> None:
        if step != 0:
            return
        if self._given is None:
            self._hold_zeros()
            return
        weights = self._attached().weights()
        masks = {
            name: self._given[name].to(weight.device) if name in self._given else torch.ones_like(weight).bool()
            for name, weight in weights.items()
        }
        self._hold(masks, "prune", 0.0)

    def _configuration(self) -> dict[str, Any]:
        return {}
