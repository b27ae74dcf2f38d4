"""The learning rate of a fine-tuning, chosen among several on held-out training images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tamis.storage import write_atomic
from tamis.transfer._finetune_epochs import Diverged, Log, train_epochs
from tamis.transfer._finetune_options import FineTuneOptions
from tamis.transfer._finetune_scores import on_held_out
from tamis.transfer._finetune_state import prepared
from tamis.transfer._probe import primary
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform


def choose_rate(
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
        run = prepared(model, masks, task, plain, seed, head, recipe, rate)
        try:
            train_epochs(run, task, transform, seed, held_out, False, own, stop, lambda row: None, f"lr {rate:g} ")
            seen = on_held_out(run.evaluated, task, transform, held_out)
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
