"""The training loop, on one screen."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from tamis.data import Augmentation, Batches, ImageData, batches
from tamis.train._diary import Observation, epoch_row, look_at, new_mask_rows
from tamis.train._interrupt import Interrupted, StopRequest
from tamis.train._learning_rate import learning_rate, set_learning_rate
from tamis.train._metrics import MetricsLog
from tamis.train._recipe import Recipe
from tamis.train._run import Run
from tamis.train._timing import StepClock

LAST = "last.safetensors"


def train(run: Run, log: MetricsLog, checkpoints: Path, stop: StopRequest) -> None:
    """Train ``run`` to its last epoch, or to a checkpoint if ``stop`` asks for it, in this or in any other process.

    Args:
        run: advanced in place.
        log: receives one row per epoch and per mask change.
        checkpoints: folder of ``last.safetensors``.
        stop: looked at after every step.

    Raises:
        Interrupted: ``stop`` was requested; ``last.safetensors`` holds the state after the last finished step.
    """
    options = run.recipe.train
    if run.progress.step == 0:
        save(run, log, checkpoints)  # so that there is something to resume from at any time
        check_masks(run)
    quiet = None if run.ranks.leads else True  # None: where stderr is no terminal
    with tqdm(total=options.epochs * run.steps_per_epoch, initial=run.progress.step, unit="step", disable=quiet) as bar:
        while run.progress.epoch < options.epochs:
            phase, run.clock = run.phase, StepClock()
            bar.set_description(f"epoch {run.progress.epoch + 1}/{options.epochs} {phase}")
            run.model.train()
            for images, labels in epoch_batches(run.recipe, run.data, run.progress.epoch, run.progress.totals.batches):
                rate = learning_rate(run.recipe.schedule, run.recipe.optimizer.lr, run.schedule_epoch, options.epochs)
                set_learning_rate(run.optimizer, rate)
                phase = run.phase  # an epoch is of the phase that its last step trains in
                with run.clock.step():
                    own_images, own_labels, weight = run.ranks.share(images, labels)
                    loss, logits = train_step(
                        run.replicas, run.optimizer, own_images, own_labels, options.label_smoothing, weight
                    )
                    stopping = count(run, loss, logits, own_labels, len(labels), stop)
                check_masks(run)
                bar.update()
                if stopping and run.progress.totals.batches < run.steps_per_epoch:
                    save(run, log, checkpoints)
                    raise Interrupted(f"stopped after step {run.progress.step}")
            # The step that ends a phase also begins the next one, so the phase was looked at before that.
            seen = run.phase_end or look_at(run)
            log.append(epoch_row(run, phase, run.optimizer.param_groups[0]["lr"], seen, run.clock))
            for row in new_mask_rows(run):
                log.append(row)
            for row in run.probe_rows():
                log.append(row)
            run.end_epoch(phase, seen.held_out.accuracy)
            if run.ranks.leads:
                tqdm.write(_line(run, phase, seen), file=sys.stderr)
            done = run.progress.epoch == options.epochs
            if done or stopping or run.progress.epoch % options.checkpoint_every == 0:
                save(run, log, checkpoints)
            if stopping and not done:
                raise Interrupted(f"stopped after epoch {run.progress.epoch}")


def _line(run: Run, phase: str, seen: Observation) -> str:
    return (
        f"epoch {run.progress.epoch}/{run.recipe.train.epochs} {phase:<6} held-out accuracy "
        f"{seen.held_out.accuracy:.4f} sparsity {seen.sparsity:.3f} step {run.clock.median_cpu_ms or 0:.1f} ms CPU"
    )


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    label_smoothing: float,
    weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """One optimizer step on one batch; returns the loss in nats and the logits before it.

    ``weight`` times the loss is differentiated, see :meth:`Ranks.share`.
    """
    logits = model(images)
    loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    optimizer.zero_grad()
    (weight * loss).backward()
    optimizer.step()
    return loss.detach(), logits.detach()


def epoch_batches(recipe: Recipe, data: ImageData, epoch: int, first_batch: int = 0) -> Batches:
    """The batches of one epoch: float32 images (N, C, H, W) and int64 labels (N,), from batch ``first_batch`` on.

    Order and augmentation depend on nothing but the seed and the epoch's number, so a resumed run goes on in the
    middle of an epoch without a stored generator.
    """
    seed = (recipe.train.seed * 1_000_003 + epoch) % 2**63
    augmentation = Augmentation(recipe.data.crop_padding, recipe.data.flip)
    generator = torch.Generator().manual_seed(seed)
    return batches(data, recipe.train.batch_size, generator, augmentation, first_batch=first_batch)


def count(run: Run, loss: Tensor, logits: Tensor, labels: Tensor, batch: int, stop: StopRequest) -> bool:
    """Add one finished step of all processes to the run's counters; returns whether any of them was asked to stop.

    Args:
        run: its counters are advanced.
        loss: mean over the samples of this process.
        logits: (n, K) of this process.
        labels: (n,) of this process.
        batch: samples of the batch, each counted once.
        stop: of this process.
    """
    correct = float((logits.argmax(1) == labels).sum())
    seen, right, nats, asked = run.ranks.total([len(labels), correct, loss.item() * len(labels), stop.requested])
    once = batch / seen  # below 1 where every process took the whole batch
    run.progress.step += 1
    run.progress.samples += batch
    run.progress.totals.batches += 1
    run.progress.totals.samples += batch
    run.progress.totals.loss += nats * once
    run.progress.totals.correct += round(right * once)
    return asked > 0


def check_masks(run: Run) -> None:
    """Compare the masks of all processes if they have just changed; RankError if they differ."""
    events = run.sparsifier.events if run.sparsifier is not None else []
    if events and events[-1]["step"] == run.progress.step and "hash" in events[-1]:  # a decompression has no masks
        run.ranks.check_equal(events[-1]["hash"], f"the masks after step {run.progress.step}")


def save(run: Run, log: MetricsLog, checkpoints: Path) -> None:
    """Write ``last.safetensors``; rows logged later are cut when a run resumes from it."""
    if run.ranks.leads:
        run.progress.log_bytes = log.size
        run.save(checkpoints / LAST)
