"""The state of one full fine-tuning: what its loop advances, checkpoints hold, and a resume brings back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tamis.errors import FileError, UsageError
from tamis.methods import KeepZeros
from tamis.nn import dense_state_dict, densify, fuse, is_packed, prunable_modules
from tamis.train import build_optimizer, load_checkpoint, restore, save_checkpoint
from tamis.transfer._finetune_options import FineTuneOptions
from tamis.transfer._seeds import derived_seed
from tamis.transfer._support import check_kept
from tamis.transfer._task import Task
from tamis.transfer._zoo import replace_head

LAST = "last.safetensors"


@dataclass
class Progress:
    """How far a run has come; JSON types."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    samples: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, dict[str, float]] = field(default_factory=dict)


class FineTuning:
    """A network with fixed zeros, its optimizer, and perhaps an average of its weights.

    Args:
        model: dense, pruned weights zero, the new head in place; trained in place.
        masks: bool mask by layer name; empty trains a dense network.
        head: name of the classifier, never masked.
        options: choices.
        recipe: text that a resumed run must share.
        rate: learning rate in place of that of the optimizer.
    """

    def __init__(
        self,
        model: nn.Module,
        masks: Mapping[str, Tensor],
        head: str,
        options: FineTuneOptions,
        recipe: str = "",
        rate: float | None = None,
    ) -> None:
        self.model, self.masks, self.head, self.options, self.recipe = model, dict(masks), head, options, recipe
        self.rate = options.optimizer.lr if rate is None else rate
        self.progress = Progress()
        self.snapshots: dict[str, dict[str, Tensor]] = {}
        self.optimizer = build_optimizer(options.optimizer, model.parameters())
        self.sparsifier: KeepZeros | None = None
        if self.masks:
            packed: Any = {"auto": "auto", "always": True, "never": False}[options.packed]
            self.sparsifier = KeepZeros(self.masks, exclude=(head,), packed=packed)
            self.sparsifier.attach(model, self.optimizer)
        self.average: AveragedModel | None = None
        if options.ema_decay:
            # Behind attach, so that packed layers are averaged packed: the average has the same zeros.
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema_decay))
        layers = prunable_modules(model).values()
        if any(is_packed(layer) for layer in layers) and not any(_runs_depthwise(layer) for layer in layers):
            fuse(model)

    @property
    def evaluated(self) -> nn.Module:
        """The network whose accuracy counts: the average where there is one."""
        return self.model if self.average is None else self.average.module

    def train_step(self, images: Tensor, labels: Tensor) -> float:
        """One optimizer step; returns the loss in nats.

        The order: gradients of pruned weights become zero, then the norm is clipped, then the optimizer steps, whose
        hooks make pruned weights zero again, then the average is updated.
        """
        loss = F.cross_entropy(self.model(images), labels, label_smoothing=self.options.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        if self.sparsifier is not None:
            self.sparsifier.mask_gradients()
        if self.options.clip_norm:
            clip_grad_norm_(self.model.parameters(), self.options.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return float(loss.detach())

    def set_rate(self, rate: float) -> None:
        """Give every parameter group the same learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def keep(self, selection: str, score: float, folder: Path | None) -> None:
        """Remember the present weights for ``selection``, also in ``folder`` where there is one."""
        self.progress.best[selection] = {"score": score, "epoch": self.progress.epoch}
        state = {key: value.clone() for key, value in dense_state_dict(self.evaluated).items()}
        self.snapshots[selection] = state
        if folder is not None:
            save_checkpoint(folder / f"{selection}.safetensors", self.evaluated, recipe=self.recipe)

    def save(self, folder: Path) -> Path:
        """Write ``last.safetensors``: model, average, optimizer, masks, random states, progress."""
        return save_checkpoint(
            folder / LAST,
            self._parts(),
            self.optimizer,
            self.sparsifier,
            method="transfer",
            recipe=self.recipe,
            progress=asdict(self.progress),
        )

    def resume(self, folder: Path) -> bool:
        """Go on from ``last.safetensors`` in ``folder``; False where there is none.

        Raises:
            FileError: the file is damaged.
            UsageError: another recipe wrote it.
        """
        file = folder / LAST
        if not file.is_file():
            return False
        checkpoint = load_checkpoint(file)
        if checkpoint.header.get("recipe") != self.recipe:
            raise UsageError(f"{file}: was trained with another recipe, model or task; choose another folder")
        restore(checkpoint, self._parts(), self.optimizer, self.sparsifier)
        try:
            self.progress = Progress(**checkpoint.header["progress"])
        except (KeyError, TypeError) as error:
            raise FileError(f"{file}: its progress record is damaged ({error!r})") from error
        for selection in self.progress.best:
            stored = load_checkpoint(folder / f"{selection}.safetensors")
            self.snapshots[selection] = dict(stored.model)
        return True

    def finish(self) -> nn.Module:
        """End the sparsifier's work; returns the dense network with exact zeros whose accuracy counts."""
        plain = densify(copy.deepcopy(self.evaluated)).eval()
        if self.sparsifier is not None:
            self.sparsifier.finalize()
            densify(self.model)
        return plain

    def _parts(self) -> nn.Module:
        # one module, so that one file and one set of names hold the average too
        parts = {"model": self.model} if self.average is None else {"model": self.model, "average": self.average}
        return nn.ModuleDict(parts)


def _runs_depthwise(layer: Any) -> bool:
    """Whether fused neighbours would make dense torch turn tensors around at this layer."""
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels and not is_packed(layer)


def prepared(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    task: Task,
    options: FineTuneOptions,
    seed: int,
    head: str,
    recipe: str,
    rate: float,
) -> FineTuning:
    """A copy of ``model`` before the first step: dense, its zeros fixed by ``masks``, a new head for ``task``.

    Args:
        model: a backbone; not changed.
        masks: bool mask by layer name.
        task: names the head's size and, with ``seed``, its start.
        options: choices.
        seed: whole number of at least 0.
        head: name of the classifier.
        recipe: text that a resumed run must share.
        rate: learning rate in place of that of the optimizer.

    Raises:
        RevivedError: a pruned weight is not zero.
    """
    network = densify(copy.deepcopy(model))
    for parameter in network.parameters():
        parameter.requires_grad_(True)  # nothing is frozen
    check_kept(network, masks)
    replace_head(network, task.num_classes, derived_seed(task.name, seed, "head"), head)
    torch.manual_seed(derived_seed(task.name, seed, "training"))  # dropout and the like
    return FineTuning(network, masks, head, options, recipe, rate)
