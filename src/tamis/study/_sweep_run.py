"""A sweep from its description to a table: runs what is missing, skips what is done, and appends after every cell."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tamis.errors import TamisError, UsageError
from tamis.study._run import run_study
from tamis.study._sweep import TransferSweep, UpstreamModel
from tamis.study._sweep_cells import UPSTREAM, SweepCell, sweep_cells, sweep_models, upstream_accuracy, upstream_study
from tamis.study._sweep_job import run_sweep_job
from tamis.study._sweep_pool import cluster_executor, local_executor, run_jobs
from tamis.train import Interrupted, dump_recipe
from tamis.transfer import Row, Table, TransferRecipe, read_sparse_state, styles_with

TABLE, CELLS, FEATURES = "results.csv", "cells", "features"

Work = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


@dataclass(frozen=True)
class SweepResults:
    """What a sweep left.

    Attributes:
        table: the file.
        done: names of the cells that have all their rows.
        missing: why, by name of the cells that have none: no such model, or the error of the transfer.
    """

    table: Path
    done: tuple[str, ...]
    missing: dict[str, str]


def run_sweep(
    sweep: TransferSweep,
    folder: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] = ".",
    models: str | os.PathLike[str] = ".",
    workers: int = 1,
    cluster: str = "",
    work: Work = run_sweep_job,
) -> SweepResults:
    """Run all cells that have no rows yet, and append theirs to ``folder/results.csv``.

    A cell is done if the table has its rows with the same recipe and the same upstream weights.  One that was
    interrupted goes on from its checkpoint, one that has failed is tried again.  The table is locked meanwhile.

    Args:
        sweep: the description.
        folder: made if missing; on a cluster all workers see it, and data and models, under the same paths.
        root: what paths of tasks are relative to, and where known tasks have their archives.
        models: what paths of models are relative to.
        workers: processes of this machine, each with one thread.
        cluster: address of a Dask scheduler that runs the cells instead.
        work: runs one cell; see :func:`tamis.study._sweep_job.run_sweep_job`.

    Raises:
        UsageError: another process writes the table, or a key of the sweep makes no sense.
        Interrupted: stopped by Ctrl-C; the same call goes on.
    """
    if workers < 1:
        raise UsageError(f"workers = {workers}: expected at least 1")
    home = Path(folder).resolve()
    with Table.open(home / TABLE) as table:
        if sweep.train:
            study, upstream = upstream_study(sweep)
            run_study(study, upstream, home / UPSTREAM, workers=workers)
        found = sweep_models(sweep, home, Path(models).resolve())
        cells = sweep_cells(sweep, found, Path(root).resolve())
        shas, absent = _checkpoints(found, cells[0].recipe)
        missing = {cell.name: absent[cell.model] for cell in cells if cell.model in absent}
        present = [cell for cell in cells if cell.model in shas]
        stored = {
            (r.method, r.sparsity, r.task, r.kind, r.seed, r.recipe_hash, r.checkpoint_sha, r.selection)
            for r in table.rows
        }
        done = [cell for cell in present if _is_done(stored, cell, shas[cell.model])]
        names = [cell.name for cell in done]
        todo = [cell for cell in present if cell.name not in set(names)]
        accuracies = {model: upstream_accuracy(model) for model in shas}

        with tqdm(total=len(present), initial=len(done), unit="cell", disable=None) as bar:

            def ended(job: Mapping[str, Any], rows: Any, error: BaseException | None) -> None:
                cell = by_name[job["name"]]
                if error is None:
                    try:
                        _append(table, cell, rows, accuracies[cell.model])
                        names.append(cell.name)
                    except TamisError as refused:
                        error = refused
                if error is not None:
                    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
                    missing[cell.name] = reason
                    tqdm.write(f"{cell.name}: {reason}", file=sys.stderr)
                bar.update()

            by_name = {cell.name: cell for cell in todo}
            jobs = [_job(cell, shas[cell.model], home) for cell in todo]
            try:
                run_jobs(
                    jobs,
                    work,
                    (lambda: cluster_executor(cluster)) if cluster else (lambda: local_executor(workers)),
                    max(len(jobs), 1) if cluster else workers,
                    ended,
                )
            except KeyboardInterrupt:
                raise Interrupted(
                    f"stopped with {len(names)} of {len(cells)} cells in {home / TABLE}; the same command goes on"
                ) from None
    return SweepResults(home / TABLE, tuple(names), missing)


def _checkpoints(
    models: Sequence[UpstreamModel], recipe: TransferRecipe
) -> tuple[dict[UpstreamModel, str], dict[UpstreamModel, str]]:
    """Digest of the weights of each model that can be read, and the reason for each that cannot."""
    shas, absent = {}, {}
    styles = styles_with(recipe.style)
    for model in models:
        try:
            state = read_sparse_state(model.path, min_zero_fraction=recipe.min_zero_fraction, styles=styles)
            shas[model] = state.sha256()
        except TamisError as error:
            absent[model] = f"no upstream model: {' '.join(str(error).split())}"
    return shas, absent


def _is_done(rows: Set[tuple[Any, ...]], cell: SweepCell, sha: str) -> bool:
    model, recipe = cell.model, cell.recipe
    own = (model.method, model.sparsity, cell.task, recipe.how, str(recipe.seed), cell.recipe_hash, sha)
    return all((*own, selection) in rows for selection in cell.selections)


def _job(cell: SweepCell, sha: str, home: Path) -> dict[str, Any]:
    recipe = replace(cell.recipe, cache=str(home / FEATURES))
    # another recipe or other weights get another folder, so that no cell goes on with what is not its own
    folder = home / CELLS / f"{cell.name}-{cell.recipe_hash[:6]}{sha[:6]}"
    return {"name": cell.name, "recipe": dump_recipe(recipe), "folder": str(folder), "threads": 1}


def _append(table: Table, cell: SweepCell, rows: Sequence[Mapping[str, Any]], upstream: float) -> None:
    for values in rows:
        row = replace(
            Row(**values),
            method=cell.model.method,
            sparsity=cell.model.sparsity,
            upstream=upstream,
            note=cell.model.note,
        )
        if all(row.key != other.key for other in table.rows):  # a crash may have left the first of several
            table.append(row)
