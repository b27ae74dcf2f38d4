"""The two kinds of transfer: a new head on frozen features, and everything trained with the zeros fixed."""

from __future__ import annotations

import copy
import shlex
import time
from dataclasses import asdict
from pathlib import Path

from tamis.train import Interrupted, MetricsLog, StopRequest
from tamis.transfer._features import Features, cached_features
from tamis.transfer._finetune import fine_tune
from tamis.transfer._prepare import Prepared
from tamis.transfer._probe import ProbeResult
from tamis.transfer._probe_lbfgs import GRID, LbfgsOptions, fit_lbfgs
from tamis.transfer._probe_sgd import SgdOptions, fit_sgd
from tamis.transfer._run_record import Fitted
from tamis.transfer._seeds import derived_seed
from tamis.transfer._support import held_sparsity


def fit_linear(prepared: Prepared, folder: Path, log: MetricsLog) -> Fitted:
    """Extract features, or read them from the cache beside the run folder, and fit a head to them.

    Raises:
        FileError: features that are not finite.
    """
    recipe, backbone = prepared.recipe, prepared.backbone
    start = time.perf_counter()
    cache = None if recipe.cache == "none" else Path(recipe.cache or folder.parent / "features")
    features = cached_features(cache, backbone, prepared.task, prepared.transform, bn_refresh=recipe.probe.bn_refresh)
    extracted = time.perf_counter()
    log.append({"kind": "features", "cached": features.cached, "width": features.width})
    results = _probes(prepared, features)
    for row in (row for result in results for row in result.validation):
        log.append({"kind": "candidate", **row})
    model = copy.deepcopy(backbone.model)
    parent, _, leaf = backbone.head.rpartition(".")
    setattr(model.get_submodule(parent), leaf, results[0].head())
    # epochs count from 1 for people
    chosen = [{k: (v + 1 if k == "epoch" else v) for k, v in result.chosen.items()} for result in results]
    outcomes = [
        {"selection": result.selection, **own, **asdict(result.test)}
        for result, own in zip(results, chosen, strict=True)
    ]
    return Fitted(
        model,
        outcomes,
        results[0].logits,
        held_sparsity(model, backbone.masks, backbone.head),
        {"extract": extracted - start, "fit": time.perf_counter() - extracted},
        {"features_cached": features.cached, **chosen[0]},
        results[0].warnings,
    )


def _probes(prepared: Prepared, features: Features) -> list[ProbeResult]:
    """One result per selection rule, the first of which counts."""
    task, options = prepared.task, prepared.recipe.probe
    parts = (features.train_x, features.train_y, features.test_x, features.test_y, task.num_classes)
    if options.solver == "lbfgs":
        grid = LbfgsOptions(grid=GRID[:: options.grid_step], standardise=options.standardise)
        return [fit_lbfgs(*parts, task.validation(), metric=task.metric, options=grid)]
    return list(
        fit_sgd(
            *parts,
            seed=derived_seed(task.name, prepared.recipe.seed, "head"),
            validation=task.validation() if options.validate else None,
            metric=task.metric,
            options=SgdOptions(
                epochs=options.epochs, batch_size=options.batch_size, lr=options.lr, schedule=options.schedule
            ),
            paper_best_test=options.paper_best_test,
        )
    )


def fit_full(prepared: Prepared, folder: Path, log: MetricsLog) -> Fitted:
    """Fine-tune the whole network, going on from a checkpoint in the run folder.

    Raises:
        Interrupted: stopped by Ctrl-C or SIGTERM; the same folder can be resumed.
    """
    start = time.perf_counter()
    try:
        with StopRequest() as stop:
            tuned = fine_tune(
                prepared.backbone.model,
                prepared.backbone.masks,
                prepared.task,
                prepared.transform,
                prepared.recipe.finetune,
                seed=prepared.recipe.seed,
                head=prepared.backbone.head,
                folder=folder / "checkpoints",
                recipe=prepared.identity,
                stop=stop,
                log=log.append,
            )
    except Interrupted as stopped:
        raise Interrupted(
            f"{stopped}; go on with: tamis transfer run {shlex.quote(str(folder / 'recipe.toml'))} --resume "
            f"--out {shlex.quote(str(folder))}"
        ) from None
    outcomes = [
        {"selection": outcome.selection, "epoch": outcome.epoch + 1, **asdict(outcome.test)}
        for outcome in tuned.outcomes
    ]
    chosen = {"lr": tuned.lr, "rates": tuned.rates, "history": list(tuned.history)}
    seconds = {"extract": 0.0, "fit": time.perf_counter() - start, "steps": tuned.train_seconds}
    return Fitted(tuned.model, outcomes, tuned.outcomes[0].logits, tuned.sparsity_after, seconds, chosen, ())
