"""From a study to its cells: one full recipe for each method, sparsity and seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from tamis.errors import UsageError
from tamis.study._description import BASELINE, MethodStudy
from tamis.train import OPTIONS, Recipe, find_recipe, parse_table, read_toml

# A kind and its keys belong together: a part of a recipe replaces these tables as a whole.
WHOLE = ("distribution", "pattern")
OWN = {("name",): "name", ("method",): "method", ("sparsity",): "sparsity", ("train", "seed"): "seeds"}


@dataclass(frozen=True)
class Cell:
    """One training run of a study; ``name`` is that of its folder, such as ``acdc_95_s0``, and of its recipe."""

    name: str
    method: str
    sparsity: float
    seed: int
    recipe: Recipe


def cells_of(study: MethodStudy, *, data: str = "", epochs: int = 0) -> tuple[Cell, ...]:
    """All cells of a study: the dense baseline of each seed, then by seed, sparsity and method.

    Seeds come before sparsities, so that a study that was stopped has complete columns for its early seeds.

    Args:
        study: the description.
        data: replaces ``data.source`` of the base recipe.
        epochs: replaces ``train.epochs`` of the base recipe; 0 keeps it.

    Raises:
        FileError: the base recipe cannot be read.
        UsageError: a part of a recipe has a bad key or value, or gives its method another number of epochs; or there is
            no data.
    """
    file = find_recipe(study.base)
    base = read_toml(file)
    parse_table(Recipe, base, str(file))
    given: dict[str, Any] = {"data": {"source": data} if data else {}, "train": {"epochs": epochs} if epochs else {}}
    base = merged(base, given)
    cells = tuple(
        Cell(
            cell_name(method, sparsity, seed), method, sparsity, seed, cell_recipe(study, base, method, sparsity, seed)
        )
        for method, sparsity, seed in _combinations(study)
    )
    if not cells[0].recipe.data.source:
        raise UsageError(f"study {study.name!r}: its recipe {file.stem!r} comes without data: pass --data PATH")
    budget = cells[0].recipe.train.epochs
    for cell in cells:
        extra = cell.recipe.train.dense_twin_epochs
        if cell.recipe.train.epochs != budget or extra:
            found = f"{cell.recipe.train.epochs} epochs" + (f" and {extra} of a dense twin" if extra else "")
            raise UsageError(
                f"study {study.name!r}, cells.{cell.method}: trains {found}, {BASELINE} {budget}; all cells of a study "
                "have the same number of epochs"
            )
    return cells


def _combinations(study: MethodStudy) -> Iterator[tuple[str, float, int]]:
    for seed in study.seeds:
        yield BASELINE, 0.0, seed
        for sparsity in study.sparsity:
            for method in study.methods:
                yield method, sparsity, seed


def cell_name(method: str, sparsity: float, seed: int) -> str:
    """The stable name of a cell.

    >>> cell_name("acdc", 0.95, 0), cell_name("gmp", 0.985, 3), cell_name("dense", 0.0, 1)
    ('acdc_95_s0', 'gmp_98.5_s3', 'dense_s1')
    """
    percent = f"_{round(100 * sparsity, 8):.10g}" if method != BASELINE else ""
    return f"{method}{percent}_s{seed}"


def cell_recipe(study: MethodStudy, base: Mapping[str, Any], method: str, sparsity: float, seed: int) -> Recipe:
    """The recipe of one cell: the base's tables, the method's part over them, then method, sparsity and seed.

    Options of the base are those of its own method, so other methods begin with their defaults.  A method that is told
    the epoch of its pruning (``options.epoch``) prunes at ``study.prune_at`` unless its part says otherwise.

    Raises:
        UsageError: names the study, the method's part and the key.
    """
    part = study.cells.get(method, {})
    where = f"study {study.name!r}, cells.{method}"
    for path, key in OWN.items():
        table: Any = part
        for step in path:
            table = table.get(step) if isinstance(table, Mapping) else None
        if table is not None:
            raise UsageError(f"{where}: {'.'.join(path)} belongs to the study itself; use its key {key!r}")
    table = dict(base)
    if table.get("method", BASELINE) != method:
        table.pop("options", None)
    table = merged(table, part)
    options = table.get("options", {})
    if any(item.name == "epoch" for item in fields(OPTIONS[method])) and isinstance(options, Mapping):
        length = parse_table(Recipe, {**table, "method": BASELINE, "sparsity": 0.0, "options": {}}, where).train.epochs
        table["options"] = {"epoch": round(study.prune_at * length), **options}
    table = merged(table, {"name": cell_name(method, sparsity, seed), "method": method, "train": {"seed": seed}})
    return parse_table(Recipe, {**table, "sparsity": sparsity}, where)


def merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``table`` with the values of ``over``, key by key; distribution and pattern are replaced as a whole.

    >>> merged({"a": 1, "train": {"epochs": 5, "seed": 0}}, {"train": {"seed": 7}})
    {'a': 1, 'train': {'epochs': 5, 'seed': 7}}
    """
    result = dict(table)
    for key, value in over.items():
        before = result.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[key] = merged(before, value) if both and key not in WHOLE else value  # type: ignore[arg-type]
    return result
