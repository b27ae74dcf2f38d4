"""Full fine-tuning of a sparse network with its zeros fixed (section 4 of the transfer protocol)."""

from __future__ import annotations

import copy
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tamis.errors import UsageError
from tamis.nn import densify
from tamis.storage import write_atomic
from tamis.train import Interrupted
from tamis.transfer._finetune_options import FineTuneOptions
from tamis.transfer._finetune_state import FineTuning
from tamis.transfer._metrics import Scores
from tamis.transfer._probe import primary, scored
from tamis.transfer._probe_lbfgs import scored_quietly
from tamis.transfer._schedule import rate_of_epoch
from tamis.transfer._seeds import derived_seed
from tamis.transfer._support import check_kept, held_sparsity
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform
from tamis.transfer._zoo import head_name, replace_head

Log = Callable[[dict[str, Any]], None]


class Diverged(UsageError):
    """The loss is not finite any more."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The network of one selection rule on the test images.

    ``selection``: ``last`` epoch, ``best_val`` (best on held-out training images), or ``paper_best_test`` (best on the
    test images, as the study's code reported; not for statistics).  ``epoch`` is 0-based, logits are float32 (n, K).
    """

    selection: str
    epoch: int
    test: Scores
    logits: Tensor


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What a fine-tuning leaves.

    Attributes:
        model: of the last epoch: dense layers, exact zeros, eval mode.
        outcomes: ``last`` and further selections.
        lr: the learning rate, chosen on validation where there were several.
        rates: validation score of each candidate, -1 where it diverged.
        sparsity_before, sparsity_after: share of pruned weights over all layers but the head; equal.
        history: one row per epoch, JSON types.
        train_seconds: wall time of all training steps of the final run.
    """

    model: nn.Module
    outcomes: tuple[Outcome, ...]
    lr: float
    rates: dict[str, float]
    sparsity_before: float
    sparsity_after: float
    history: tuple[dict[str, Any], ...]
    train_seconds: float


def fine_tune(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    task: Task,
    transform: Transform,
    options: FineTuneOptions = FineTuneOptions(),  # noqa: B008 - frozen
    *,
    seed: int = 0,
    head: str = "",
    folder: Path | None = None,
    recipe: str = "",
    stop: Any = None,
    log: Log | None = None,
) -> FineTuned:
    """Give a network a new head for ``task`` and train all of it with its zeros fixed.

    Batch norms train (statistics and affine parameters adapt); head, biases and norms are never masked.  Head, order
    and augmentation follow from (task, seed), whatever the method: runs are paired.  A dense baseline is the same call
    with no masks.  With several ``options.rates`` each trains on the part that is not held out, the best primary metric
    on validation after the last epoch wins (ties: the smaller rate), and the final run trains on all training images.

    Args:
        model: a backbone with a Linear classifier; not changed.
        masks: bool mask by layer name; weights outside are zero already.
        task: images and labels.
        transform: their way into the network.
        options: choices.
        seed: whole number of at least 0.
        head: name of the classifier; the last Linear if empty.
        folder: where checkpoints go; a run that was stopped there goes on, bit for bit on one thread.  None keeps none.
        recipe: text stored in the checkpoints; a run of another text in ``folder`` is refused.
        stop: object with a bool ``requested``, looked at after every step.
        log: called with one JSON-able row per epoch and candidate.

    Raises:
        UsageError: the loss became infinite or NaN (a smaller rate helps), masks do not fit, another run in the folder.
        RevivedError: a pruned weight is not zero any more.
        Interrupted: ``stop`` was requested; the folder holds a checkpoint.
    """
    classifier = head or head_name(model)
    say = log or (lambda row: None)
    scores: dict[str, float] = {}
    rate = options.optimizer.lr
    if options.rates:
        rate, scores = _choose_rate(model, masks, task, transform, options, seed, classifier, folder, recipe, stop, say)
    run = _prepared(model, masks, task, options, seed, classifier, recipe, rate)
    before = held_sparsity(run.model, masks, classifier)
    held_out = task.validation() if options.validate else torch.zeros(task.n_train, dtype=torch.bool)
    _train(run, task, transform, seed, held_out, options.paper_best_test, folder, stop, say, "")
    final = run.finish()
    check_kept(final, masks)
    outcomes = [Outcome("last", options.epochs - 1, *_test(final, task, transform))]
    for selection, best in sorted(run.progress.best.items()):
        other = copy.deepcopy(final)
        other.load_state_dict(run.snapshots[selection])
        outcomes.append(Outcome(selection, int(best["epoch"]), *_test(other, task, transform)))
    after = held_sparsity(final, masks, classifier)
    return FineTuned(
        final, tuple(outcomes), rate, scores, before, after, tuple(run.progress.history), run.progress.seconds
    )


def _prepared(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    task: Task,
    options: FineTuneOptions,
    seed: int,
    head: str,
    recipe: str,
    rate: float,
) -> FineTuning:
    network = densify(copy.deepcopy(model))
    for parameter in network.parameters():
        parameter.requires_grad_(True)  # nothing is frozen
    check_kept(network, masks)
    replace_head(network, task.num_classes, derived_seed(task.name, seed, "head"), head)
    torch.manual_seed(derived_seed(task.name, seed, "training"))  # dropout and the like
    return FineTuning(network, masks, head, options, recipe, rate)


def _choose_rate(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    task: Task,
    transform: Transform,
    options: FineTuneOptions,
    seed: int,
    head: str,
    folder: Path | None,
    recipe: str,
    stop: Any,
    log: Log,
) -> tuple[float, dict[str, float]]:
    """The best rate on validation and the score of each; candidates that ended before an interruption stay valid."""
    record = None if folder is None else folder / "rates.json"
    scores = _read_rates(record, recipe)
    held_out = task.validation()
    plain = replace(options, paper_best_test=False)
    for rate in options.rates:
        if f"{rate:g}" in scores:
            continue
        own = None if folder is None else folder / f"rate-{rate:g}"
        run = _prepared(model, masks, task, plain, seed, head, recipe, rate)
        try:
            _train(run, task, transform, seed, held_out, False, own, stop, lambda row: None, f"lr {rate:g} ")
            seen = _evaluate(run.evaluated, task, transform, held_out)
            scores[f"{rate:g}"] = primary(seen[0], task.metric)
        except Diverged:
            scores[f"{rate:g}"] = -1.0
        finally:
            run.finish()
        log({"kind": "candidate", "lr": rate, "val_score": scores[f"{rate:g}"]})
        if record is not None:
            write_atomic(record, json.dumps({"recipe": recipe, "scores": scores}))
    best = max(options.rates, key=lambda rate: (scores[f"{rate:g}"], -rate))
    if scores[f"{best:g}"] < 0:
        raise Diverged(f"every learning rate of {options.rates} diverged; give smaller ones")
    return best, scores


def _read_rates(record: Path | None, recipe: str) -> dict[str, float]:
    try:
        stored = json.loads(record.read_text()) if record is not None else {}
        return dict(stored["scores"]) if stored.get("recipe") == recipe else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _train(
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
        scores["best_val"] = primary(_evaluate(run.evaluated, task, transform, held_out)[0], task.metric)
        row["val_score"] = scores["best_val"]
    if best_test:
        scores["paper_best_test"] = primary(_test(run.evaluated, task, transform)[0], task.metric)
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


@torch.no_grad()
def _logits(model: nn.Module, batches: Any) -> Tensor:
    was = model.training
    model.eval()
    try:
        return torch.cat([model(images) for images, _ in batches])
    finally:
        model.train(was)


def _test(model: nn.Module, task: Task, transform: Transform) -> tuple[Scores, Tensor]:
    logits = _logits(model, task.ordered_batches("test", transform))
    return scored(task.labels("test"), logits, task.num_classes), logits


def _evaluate(model: nn.Module, task: Task, transform: Transform, held_out: Tensor) -> tuple[Scores, Tensor]:
    """Scores on the held-out training images, which alone are decoded, through the test transform."""
    rows = held_out.nonzero()[:, 0]
    batches = ((transform.test(task.train.take(part)), None) for part in rows.split(128))
    logits = _logits(model, batches)
    return scored_quietly(task.labels("train")[rows], logits, task.num_classes), logits
