"""Full fine-tuning of a sparse network with its zeros fixed (section 4 of the transfer protocol)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tamis.transfer._finetune_epochs import Log, train_epochs
from tamis.transfer._finetune_options import FineTuneOptions
from tamis.transfer._finetune_rates import choose_rate
from tamis.transfer._finetune_result import FineTuned, Outcome
from tamis.transfer._finetune_scores import on_test
from tamis.transfer._finetune_state import prepared
from tamis.transfer._support import check_kept, held_sparsity
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform
from tamis.transfer._zoo import head_name


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
        rate, scores = choose_rate(model, masks, task, transform, options, seed, classifier, folder, recipe, stop, say)
    run = prepared(model, masks, task, options, seed, classifier, recipe, rate)
    before = held_sparsity(run.model, masks, classifier)
    held_out = task.validation() if options.validate else torch.zeros(task.n_train, dtype=torch.bool)
    train_epochs(run, task, transform, seed, held_out, options.paper_best_test, folder, stop, say, "")
    final = run.finish()
    check_kept(final, masks)
    outcomes = [Outcome("last", options.epochs - 1, *on_test(final, task, transform))]
    for selection, best in sorted(run.progress.best.items()):
        other = copy.deepcopy(final)
        other.load_state_dict(run.snapshots[selection])
        outcomes.append(Outcome(selection, int(best["epoch"]), *on_test(other, task, transform)))
    after = held_sparsity(final, masks, classifier)
    return FineTuned(
        final, tuple(outcomes), rate, scores, before, after, tuple(run.progress.history), run.progress.seconds
    )
