"""The epochs of a fine-tuning: steps, scores on the way, checkpoints, and an end where the loss diverges."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from tamis.errors import UsageError
from tamis.train import Interrupted
from tamis.transfer._finetune_scores import on_held_out, on_test
from tamis.transfer._finetune_state import FineTuning
from tamis.transfer._probe import primary
from tamis.transfer._schedule import rate_of_epoch
from tamis.transfer._seeds import derived_seed
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform

Log = Callable[[dict[str, Any]], None]


class Diverged(UsageError):
    """The loss is not finite any more."""


def train_epochs(
    run: FineTuning,
    task: Task,
    transform: Transform,
    seed: int,
    held_out: Tensor,
    best_test: bool,
    folder: Path | None,
    stop: Any,
    log: Log,
    label: str,
) -> None:
    """Train ``run`` up to its last epoch, from where its folder says.

    Args:
        run: network and optimizer, advanced in place.
        task: the images.
        transform: their way into the network.
        seed: order and augmentation follow from it and the task.
        held_out: bool (n_train,), images that are not trained on; any of them are scored after every epoch.
        best_test: score the test images after every epoch too.
        folder: of the checkpoints; None keeps none.
        stop: object with a bool ``requested``, looked at after every step; None runs to the end.
        log: called with one JSON-able row per epoch.
        label: what progress lines begin with.

    Raises:
        Diverged: the loss is not finite.
        Interrupted: ``stop`` was requested; the folder holds a checkpoint.
    """
    options, progress = run.options, run.progress
    if folder is not None and run.resume(folder):
        progress = run.progress
    rows = (~held_out).nonzero()[:, 0]
    validate = bool(held_out.any())
    while progress.epoch < options.epochs:
        run.set_rate(rate_of_epoch(options.schedule, run.rate, progress.epoch, options.epochs))
        run.model.train()
        generator = torch.Generator().manual_seed(derived_seed(task.name, seed, f"order {progress.epoch}"))
        epoch = task.training_batches(transform, options.batch_size, generator, rows=rows)
        with tqdm(
            itertools.islice(epoch, progress.batch, None),
            desc=f"{label}epoch {progress.epoch + 1}/{options.epochs}", unit="step", leave=False, disable=None,
        ) as bar:  # fmt: skip
            for images, labels in bar:
                start = time.perf_counter()
                loss = run.train_step(images, labels)
                progress.seconds += time.perf_counter() - start
                progress.batch += 1
                progress.step += 1
                progress.samples += len(labels)
                progress.loss_sum += loss * len(labels)
                if not math.isfinite(loss):
                    raise Diverged(
                        f"the loss is {loss} in step {progress.step} at lr {run.rate:g}; choose a smaller learning "
                        "rate, or let validation choose with rates"
                    )
                if stop is not None and stop.requested:
                    if folder is not None:
                        run.save(folder)
                    raise Interrupted(f"stopped after step {progress.step}")
        row = _end_epoch(run, task, transform, held_out if validate else None, best_test, folder)
        log(row)
        print(f"{label}{_line(row, options.epochs)}", file=sys.stderr)
        if folder is not None and (progress.epoch % options.checkpoint_every == 0 or progress.epoch == options.epochs):
            run.save(folder)


def _end_epoch(
    run: FineTuning, task: Task, transform: Transform, held_out: Tensor | None, best_test: bool, folder: Path | None
) -> dict[str, Any]:
    progress = run.progress
    row: dict[str, Any] = {
        "kind": "epoch",
        "epoch": progress.epoch,
        "step": progress.step,
        "lr": run.optimizer.param_groups[0]["lr"],
        "train_loss": progress.loss_sum / max(progress.samples, 1),
        "train_seconds": progress.seconds,
    }
    scores = {}
    if held_out is not None:
        scores["best_val"] = primary(on_held_out(run.evaluated, task, transform, held_out)[0], task.metric)
        row["val_score"] = scores["best_val"]
    if best_test:
        scores["paper_best_test"] = primary(on_test(run.evaluated, task, transform)[0], task.metric)
        row["test_score"] = scores["paper_best_test"]
    for selection, value in scores.items():
        if value > run.progress.best.get(selection, {"score": -1.0})["score"]:
            run.keep(selection, value, folder)
    progress.history.append(row)
    progress.epoch += 1
    progress.batch = progress.samples = 0
    progress.loss_sum = 0.0
    return row


def _line(row: Mapping[str, Any], epochs: int) -> str:
    text = f"epoch {row['epoch'] + 1}/{epochs} lr {row['lr']:g} loss {row['train_loss']:.4f}"
    return text + (f" validation {row['val_score']:.4f}" if "val_score" in row else "")
