"""From a sweep to its cells: one transfer recipe for each model, task, kind and seed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tamis.documents import json_object, read_text
from tamis.errors import FileError, UsageError
from tamis.study._cells import Cell, cell_name, cells_of
from tamis.study._description import BASELINE, MethodStudy
from tamis.study._sweep import TransferSweep, UpstreamModel
from tamis.train import parse_table
from tamis.transfer import BUILTIN, REGISTRY, TransferRecipe, paper_recipe, recipe_hash, task_name

UPSTREAM = "upstream"


@dataclass(frozen=True)
class SweepCell:
    """One transfer of a sweep; ``name`` is that of its folder, such as ``acdc_90-digits_parity-full-s0``.

    Attributes:
        model: the upstream model, its path complete.
        task: the name that its rows have.
        recipe: everything that the transfer needs.
    """

    name: str
    model: UpstreamModel
    task: str
    recipe: TransferRecipe

    @property
    def recipe_hash(self) -> str:
        """That of its rows."""
        return recipe_hash(self.recipe)

    @property
    def selections(self) -> frozenset[str]:
        """The selection rules that the transfer leaves a row of."""
        options = self.recipe.probe if self.recipe.how == "linear" else self.recipe.finetune
        if self.recipe.how == "linear" and self.recipe.probe.solver == "lbfgs":
            return frozenset({"best_val"})
        extra = {"best_val"} if options.validate else set()
        return frozenset({"last", *extra, *({"paper_best_test"} if options.paper_best_test else ())})


def sweep_models(sweep: TransferSweep, folder: Path, models: Path) -> tuple[UpstreamModel, ...]:
    """The upstream models of a sweep with complete paths, whether they exist or not.

    Args:
        sweep: the description.
        folder: of the sweep; models that it trains itself lie in ``upstream`` there.
        models: what other paths are relative to.
    """
    if sweep.models:
        return tuple(replace(model, path=str(models / model.path)) for model in sweep.models)
    pairs = [(BASELINE, 0.0), *((method, sparsity) for method in sweep.methods for sparsity in sweep.sparsity)]
    if sweep.train:
        home = folder / UPSTREAM / "cells"
        return tuple(UpstreamModel(str(home / cell_name(m, s, sweep.seeds[0])), m, s) for m, s in pairs)
    return tuple(UpstreamModel(str(models / sweep.path.format(method=m, sparsity=s)), m, s) for m, s in pairs)


def upstream_study(sweep: TransferSweep) -> tuple[MethodStudy, tuple[Cell, ...]]:
    """The training of the upstream models, for a sweep with ``train``; each is trained with the sweep's first seed."""
    study = MethodStudy(
        f"{sweep.name}_upstream", sweep.train, sweep.methods, sweep.sparsity, sweep.seeds[:1], cells=sweep.cells
    )
    return study, cells_of(study)


def sweep_cells(sweep: TransferSweep, models: Iterable[UpstreamModel], root: Path) -> tuple[SweepCell, ...]:
    """All cells of a sweep: by kind, seed and task, then model, so that a sweep that was stopped has whole columns.

    Args:
        sweep: the description.
        models: see :func:`sweep_models`.
        root: what paths of tasks are relative to, and where known tasks have their archives.

    Raises:
        UsageError: a part of the transfer recipe has a bad key or value, or two tasks have one name.
    """
    models = tuple(models)
    base = parse_table(TransferRecipe, sweep.recipe, f"sweep {sweep.name!r}, recipe")
    cells = []
    sources: dict[str, str] = {}
    for task in sweep.tasks:
        source = task if task in BUILTIN or task in REGISTRY else str(root / task)
        name = task_name(source)
        if sources.setdefault(name, source) != source:
            raise UsageError(f"sweep {sweep.name!r}: tasks {sources[name]} and {source} have one name")
    for kind in sweep.kinds:
        for place, seed in enumerate(sweep.seeds):
            for name, source in sources.items():
                recipe = replace(base, how=kind, data=source, root=str(root), speed=False, seed=seed)
                if sweep.paper:
                    recipe = paper_recipe(recipe, name)
                if place and kind == "linear" and recipe.probe.solver == "lbfgs":
                    continue  # no seed enters
                for model in models:
                    label = f"{cell_name(model.method, model.sparsity, seed).rpartition('_')[0]}-{name}-{kind}-s{seed}"
                    own = replace(recipe, model=model.path, arch=model.arch, method=model.method)
                    cells.append(SweepCell(label, model, name, own))
    return tuple(cells)


def upstream_accuracy(model: UpstreamModel) -> float:
    """What the sweep says, else the held-out accuracy in the summary of a run folder, else NaN."""
    if not math.isnan(model.upstream):
        return model.upstream
    try:
        file = Path(model.path) / "summary.json"
        summary = json_object(read_text(file, "the summary of a run"), str(file))
        value = summary["accuracy_dense" if model.method == BASELINE else "accuracy_sparse"]
    except (FileError, KeyError):
        return math.nan
    return float(value) if isinstance(value, int | float) else math.nan
