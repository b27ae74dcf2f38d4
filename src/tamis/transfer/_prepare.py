"""What one transfer is made of, read and checked before anything is written: backbone, task, transform, identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from tamis.errors import UsageError
from tamis.train import dump_recipe
from tamis.transfer._inputs import input_transform
from tamis.transfer._load_task import load_task
from tamis.transfer._recipe import TransferRecipe
from tamis.transfer._task import Task
from tamis.transfer._transforms import Transform
from tamis.transfer._zoo import Backbone, load_backbone
from tamis.transfer._zoo_style import styles_with


@dataclass(frozen=True, eq=False)
class Prepared:
    """One transfer before it begins.

    ``identity`` is the sha256 of all that decides the numbers: a run is only resumed with the same.
    """

    recipe: TransferRecipe
    backbone: Backbone
    task: Task
    transform: Transform
    identity: str


def prepare(
    recipe: TransferRecipe,
    backbone: Backbone | None = None,
    task: Task | None = None,
    transform: Transform | None = None,
) -> Prepared:
    """Load what ``recipe`` names and is not given ready.

    Raises:
        UsageError: neither the recipe nor the caller has a backbone, or data; or they do not fit each other.
        FileError: checkpoint or data cannot be read.
    """
    if (backbone is None and not recipe.model) or (task is None and not recipe.data):
        raise UsageError("a transfer needs a backbone and data: give --model CHECKPOINT and --data FOLDER_OR_NPZ")
    backbone = backbone or load_backbone(
        recipe.model,
        recipe.arch,
        min_zero_fraction=recipe.min_zero_fraction,
        styles=styles_with(recipe.style),
    )
    task = task or load_task(recipe.data, root=recipe.root)
    if recipe.metric != "task":
        task = replace(task, metric=recipe.metric)
    transform = transform or input_transform(
        task, backbone.architecture, size=recipe.size, norm=recipe.norm, interpolation=backbone.state.interpolation
    )
    return Prepared(recipe, backbone, task, transform, _identity(recipe, backbone, task, transform))


def _identity(recipe: TransferRecipe, backbone: Backbone, task: Task, transform: Transform) -> str:
    # where files lie and what is measured beside them does not matter
    plain = replace(recipe, model="", data="", root="", style="", cache="", speed=True, repeats=5)
    parts = (dump_recipe(plain), backbone.state.sha256(), task.name, task.fingerprint, task.metric, transform.id)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
