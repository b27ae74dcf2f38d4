"""The record of every mask change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from tamis.methods._bitmap import from_bitmap, to_bitmap
from tamis.methods._supports import LayerSupports
from tamis.nn import is_packed, prunable_modules
from tamis.sparsity import (
    achieved_sparsity,
    chain_paths,
    live_counts,
    mask_change,
    mask_changes,
    mask_hash,
    units_without_fan_in,
    units_without_fan_out,
)


class MaskRecorder:
    """Turns mask changes into events, each compared with the masks before it.

    Every event is a dict of JSON types with

    - ``step`` (optimizer steps done), ``event`` (``"compress"``, ``"decompress"`` or ``"prune"``), ``target``;
    - ``sparsity`` over all governed layers, ``sparsity_over_pruned`` without those that the distribution leaves dense,
      ``sparsity_over_all`` over every prunable layer of the model, excluded ones too;
    - ``layers``: per layer ``live``, ``total``, ``mask_change_percent``, ``no_fan_in`` (outputs without a live weight)
      and ``no_fan_out`` (inputs that nothing reads);
    - ``mask_change_percent``, ``iou`` and ``regrown_share`` against the masks before (for AC/DC those of the previous
      sparse phase; None the first time), as :func:`tamis.sparsity.mask_change` defines them;
    - ``effective_nnz``: live weights on a path from input to output, where the model is one chain of layers, else None;
    - ``packed``: the layers that run on the sparse kernels, and ``hash``: :func:`tamis.sparsity.mask_hash`.

    Events of a decompression have no masks: only ``step``, ``event``, ``target``, ``sparsity``, ``layers`` (with the
    exactly zero weights as ``zeros``) and ``packed``.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.previous: dict[str, Tensor] = {}

    def record(
        self,
        event: str,
        step: int,
        target: float,
        masks: Mapping[str, Tensor],
        model: nn.Module,
        supports: LayerSupports,
        dense: Sequence[str],
    ) -> None:
        """Append the event of ``masks`` (bool, by layer) that were put in force; ``dense`` layers are not counted."""
        live, total = live_counts(masks), {name: mask.numel() for name, mask in masks.items()}
        achieved = achieved_sparsity(live, total, dense)
        previous = {name: from_bitmap(self.previous[name], masks[name].shape) for name in self.previous}
        current = {name: mask.cpu() for name, mask in masks.items()}
        change = mask_change(previous, current) if previous else None
        by_layer = mask_changes(previous, current) if previous else {}
        self.events.append(
            {
                "step": step,
                "event": event,
                "target": target,
                "sparsity": achieved.over_all,
                "sparsity_over_pruned": achieved.over_pruned,
                "sparsity_over_all": _over_all(model, live),
                "layers": {
                    name: {
                        "live": live[name],
                        "total": total[name],
                        "mask_change_percent": by_layer[name].percent if change else None,
                        "no_fan_in": int(units_without_fan_in(mask).sum()),
                        "no_fan_out": int(units_without_fan_out(mask).sum()),
                    }
                    for name, mask in current.items()
                },
                "mask_change_percent": change.percent if change else None,
                "iou": change.iou if change else None,
                "regrown_share": change.regrown_share if change else None,
                "effective_nnz": chain_paths(list(current.values())).effective if is_chain(model, current) else None,
                "packed": supports.sparse_layers,
                "hash": mask_hash(current),
            }
        )
        self.previous = {name: to_bitmap(mask) for name, mask in current.items()}

    def record_release(self, step: int, supports: LayerSupports) -> None:
        """Append the event of a decompression."""
        nonzero = supports.nonzeros()
        total = supports.live_counts()
        self.events.append(
            {
                "step": step,
                "event": "decompress",
                "target": 0.0,
                "sparsity": 0.0,
                "layers": {name: {"live": n, "total": n, "zeros": n - nonzero[name]} for name, n in total.items()},
                "packed": [],
            }
        )

    def load(self, events: list[dict[str, Any]], previous: dict[str, Tensor]) -> None:
        """Take back events and bitmaps from a checkpoint."""
        self.events = [dict(event) for event in events]
        self.previous = dict(previous)


def is_chain(model: nn.Module, masks: Mapping[str, Tensor]) -> bool:
    """Whether the model is a plain ``nn.Sequential`` of leaves whose prunable layers are exactly those of ``masks``."""
    if type(model) is not nn.Sequential or any(len(list(child.children())) for child in model.children()):
        return False
    if list(prunable_modules(model)) != list(masks):
        return False
    shapes = [mask.shape for mask in masks.values()]
    return all(after[1] % before[0] == 0 for before, after in pairwise(shapes))


def _over_all(model: nn.Module, live: Mapping[str, int]) -> float:
    sizes: dict[str, int] = {}
    for name, layer in prunable_modules(model).items():
        sizes[name] = layer.pattern.total if is_packed(layer) else layer.weight.numel()
    kept = sum(live.get(name, size) for name, size in sizes.items())
    return 1.0 - kept / sum(sizes.values())
