"""From a torch model and its data to the stored outputs that an audit reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from tamis.audit._outputs import Axis, Outputs, Task
from tamis.errors import UsageError
from tamis.nn import prunable_modules
from tamis.train import measured_sparsity


def collect(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    names: Sequence[str],
    ids: Sequence[int] | Sequence[str] | np.ndarray | None = None,
    name: str = "",
    method: str = "",
    level: float | None = None,
    axis: Axis = "sparsity",
    seed: int = 0,
    dense_seed: int | None = None,
    task: Task = "multilabel",
    meta: Mapping[str, Any] | None = None,
) -> Outputs:
    """Run a model over all batches, in eval mode and without gradients, and keep its logits with the id of each row.

    Any module will do: dense, masked, packed, quantised, or a :class:`tamis.audit.Cascade`.  The mode of every
    submodule is restored afterwards.

    Args:
        model: maps inputs ``(B, ...)`` to logits ``(B, K)``.
        loader: yields ``(inputs, ids)`` if ``ids`` is None (see :func:`tamis.data.attribute_loader`); else inputs, or
            tuples and lists that begin with them, as a ``DataLoader`` does.
        names: the K attributes or classes.
        ids: of all rows in the loader's order, which must not be random then.
        name: what the network is called.
        method: what made it small.
        level: share of zeros, or bits; None measures the share of exact zeros over convolutions and linear layers.
        axis: what ``level`` counts.
        seed: training seed, which pairs a model with its dense twin.
        dense_seed: see :class:`Outputs`.
        task: what the logits mean.
        meta: anything else that JSON can hold.

    Raises:
        UsageError: the loader is empty, shuffles while ``ids`` are given, or yields something else; ``ids`` are too few
            or too many; logits are not ``(B, K)`` or not finite; or a level is needed.
    """
    if ids is not None and isinstance(loader, DataLoader) and isinstance(loader.sampler, RandomSampler):
        raise UsageError("the loader shuffles, so ids by position would be wrong; use shuffle=False, or yield ids")
    if level is None:
        level = _level(model, axis)
    logits, found = _run(model, loader, with_ids=ids is None)
    known = np.asarray(torch.cat(found)) if ids is None else np.asarray(ids)
    if len(known) != len(logits):
        raise UsageError(f"{len(known)} ids for {len(logits)} rows of logits; expected one id for each row")
    return Outputs(
        logits.numpy(),
        known,
        tuple(names),
        model=name,
        method=method,
        level=level,
        axis=axis,
        seed=seed,
        dense_seed=dense_seed,
        task=task,
        meta=dict(meta or {}),
    )


@torch.no_grad()
def _run(model: nn.Module, loader: Iterable[Any], with_ids: bool) -> tuple[Tensor, list[Tensor]]:
    logits: list[Tensor] = []
    ids: list[Tensor] = []
    modes = [(module, module.training) for module in model.modules()]
    place = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    try:
        model.eval()
        for batch in loader:
            inputs, numbers = _parts(batch, with_ids)
            answer = model(inputs.to(place))
            if not isinstance(answer, Tensor) or answer.dim() != 2 or len(answer) != len(inputs):
                shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
                raise UsageError(f"the model answers {shape} for {len(inputs)} inputs; expected logits (inputs, K)")
            logits.append(answer.double().cpu() if answer.dtype == torch.float64 else answer.float().cpu())
            ids += [] if numbers is None else [numbers]
    finally:
        for module, mode in modes:
            module.training = mode
    if not logits:
        raise UsageError("the loader has no batch; expected at least one sample")
    return torch.cat(logits), ids


def _parts(batch: Any, with_ids: bool) -> tuple[Tensor, Tensor | None]:
    parts = [batch] if isinstance(batch, Tensor) else list(batch) if isinstance(batch, (tuple, list)) else []
    if not with_ids and parts and isinstance(parts[0], Tensor):
        return parts[0], None
    good = len(parts) == 2 and all(isinstance(part, Tensor) for part in parts) and parts[1].dim() == 1
    if with_ids and good and len(parts[0]) == len(parts[1]) and not parts[1].is_floating_point():
        return parts[0], parts[1].cpu()
    wanted = "(inputs, ids) with whole numbers as ids, or ids= by argument" if with_ids else "inputs first"
    raise UsageError(f"the loader yields {_spell(batch)}; expected {wanted}")


def _spell(batch: Any) -> str:
    if isinstance(batch, (tuple, list)):
        return f"{type(batch).__name__} of {', '.join(_spell(part) for part in batch) or 'nothing'}"
    return f"a tensor {tuple(batch.shape)}" if isinstance(batch, Tensor) else type(batch).__name__


def _level(model: nn.Module, axis: Axis) -> float:
    if axis == "bits":
        raise UsageError("axis='bits' needs level=, the bits of a weight; only the share of zeros can be measured")
    if not prunable_modules(model):
        raise UsageError("the model has no convolution or linear layer to count zeros in; pass level=")
    return measured_sparsity(model)
